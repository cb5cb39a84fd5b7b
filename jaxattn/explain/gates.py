"""How gates weight channels: their variation between images, channels and classes."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

CONSTANT = 0.01  # of a weight: a gate that varies less between images is nearly constant


class Spread(NamedTuple):
    """How much a gate varies, as standard deviations of weights.

    Attributes:
        between_images: of one channel's weight between images, root mean square over channels. Near 0, the gate is a
            constant that ignores its input.
        between_channels: of the channels' mean weights. Near 0, all channels have the same weight.
        by_class: fraction of the variance between images that the class explains, in [0, 1].
    """

    between_images: float
    between_channels: float
    by_class: float


def spread(profiles: Float[np.ndarray, "N C"], labels: Integer[np.ndarray, " N"]) -> Spread:
    """How a gate varies: between images, between channels, and how much of the former the class explains.

    Args:
        profiles: weight of each channel for each image, [N, C].
        labels: int [N].
    """
    profiles = profiles.astype(np.float64)
    mean = profiles.mean(axis=0)
    within = sum(((profiles[labels == k] - profiles[labels == k].mean(axis=0)) ** 2).sum() for k in np.unique(labels))
    total = ((profiles - mean) ** 2).sum()
    between = float(np.sqrt(total / profiles.size))
    explained = 1 - within / total if between > 1e-6 else 0.0  # weights are float32: less is rounding
    return Spread(between, float(mean.std()), float(explained))


def class_means(
    profiles: Float[np.ndarray, "N C"], labels: Integer[np.ndarray, " N"], classes: int
) -> Float[np.ndarray, "K C"]:
    """Mean of profiles [N, C] over the images of each class in labels int [N]: [K, C], NaN for an absent class."""
    means = np.full((classes, profiles.shape[1]), np.nan)
    for label in np.unique(labels):
        means[label] = profiles[labels == label].mean(axis=0)
    return means


def gate_limits(gates: Iterable[Float[np.ndarray, "..."]]) -> tuple[float, float]:
    """The colour scale of gates' weights, arrays [...]: 0 to 1, wider only where a gate exceeds that."""
    gates = list(gates)
    low, high = min(float(gate.min()) for gate in gates), max(float(gate.max()) for gate in gates)
    return min(0.0, low), max(1.0, high)
