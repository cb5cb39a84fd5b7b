"""How gates weight channels: their variation between images, channels and classes."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

CONSTANT = 0.01  # standard deviation of a weight: a gate that varies less between images is nearly constant
DEAD, SATURATED = 0.05, 0.95


class Signs(NamedTuple):
    """The vital signs of a gate: statistics of its weights by channel; spreads are standard deviations of weights.

    Attributes:
        mean: of all weights.
        between_images: of one channel's weight between images, root mean square over channels. Near 0, the gate is a
            constant that ignores its input.
        within_class: the same between images of one class.
        between_channels: spread of the channels' mean weights. Near 0, all channels have the same weight.
        by_class: fraction of the variance between images that the class explains, in [0, 1].
        dead, saturated: fractions of weights below 0.05 and above 0.95.
        with_activation: mean over the channels of the correlation, over images, of a channel's weight with its mean
            activation before the gate, in [-1, 1]; 0 if either does not vary.
        effective_channels: how many of the channels carry the weight: (sum w)^2 / sum w^2 of their mean weights.
        channels: how many there are.
        between_positions: spread of one channel's weight between the positions of an image, root mean square; NaN if
            it is not known.
    """

    mean: float
    between_images: float
    within_class: float
    between_channels: float
    by_class: float
    dead: float
    saturated: float
    with_activation: float
    effective_channels: float
    channels: float
    between_positions: float = float("nan")


def signs(
    profiles: Float[np.ndarray, "N C"],
    labels: Integer[np.ndarray, " N"],
    activations: Float[np.ndarray, "N _C"] | None = None,
    positions: Float[np.ndarray, "N 3"] | None = None,
) -> Signs:
    """The vital signs of a gate.

    Args:
        profiles: weight of each channel for each image, mean over the positions, [N, C].
        labels: int [N].
        activations: mean of each channel before the gate, [N, C]; None, or of other channels, if it is not known. A
            gate of one channel is compared with their mean.
        positions: of each image's weights at all positions, the fractions below 0.05 and above 0.95, and the variance
            of a channel's weight between positions, [N, 3]; None if all positions have the same weight.
    """
    if positions is None:
        zeros = np.zeros(len(profiles))
        positions = np.stack([(profiles < DEAD).mean(axis=1), (profiles > SATURATED).mean(axis=1), zeros], axis=1)
    profiles = profiles.astype(np.float64)
    mean = profiles.mean(axis=0)
    within = sum(((profiles[labels == k] - profiles[labels == k].mean(axis=0)) ** 2).sum() for k in np.unique(labels))
    total, squares = ((profiles - mean) ** 2).sum(), (mean**2).sum()
    between = float(np.sqrt(total / profiles.size))
    return Signs(
        mean=float(mean.mean()),
        between_images=between,
        within_class=float(np.sqrt(within / profiles.size)),
        between_channels=float(mean.std()),
        by_class=float(1 - within / total) if between > 1e-6 else 0.0,  # weights are float32: less is rounding
        dead=float(positions[:, 0].mean()),
        saturated=float(positions[:, 1].mean()),
        with_activation=_correlation(profiles, activations),
        effective_channels=float(mean.sum() ** 2 / squares) if squares else 0.0,
        channels=float(len(mean)),
        between_positions=float(np.sqrt(positions[:, 2].mean())),
    )


def _correlation(profiles, activations):
    if activations is not None and profiles.shape[1] == 1:
        activations = activations.mean(axis=1, keepdims=True)
    if activations is None or activations.shape != profiles.shape:
        return 0.0
    first, second = (values - values.mean(axis=0) for values in (profiles, activations.astype(np.float64)))
    scale = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    varies = scale > 1e-6 * len(first)  # weights are float32: less is rounding
    return float(((first * second).sum(axis=0)[varies] / scale[varies]).mean()) if varies.any() else 0.0


def describe(one: Signs, lost: float | None = None, instead: str = "its mean") -> str:
    """A sentence on a gate from its vital signs.

    Args:
        one: the signs.
        lost: points of accuracy that are lost if the gate is replaced; None if it is not known.
        instead: what replaces it then.
    """
    varies = one.between_positions >= CONSTANT
    if one.between_images >= CONSTANT:
        text = f"depends on the image, {'mostly' if one.by_class > 0.5 else 'less than half'} by its class"
    else:
        scale = "a fixed scale" if one.between_channels >= CONSTANT else "one number for all channels and images"
        text = f"{'has a mean that is' if varies else 'is'} {scale}"
    parts = [text, f"varies by {one.between_positions:.2f} between positions"] if varies else [text]
    ends = (("below 0.05", one.dead), ("above 0.95", one.saturated))
    parts += [f"{share:.0%} of its weights are {where}" for where, share in ends if share > 0.1]
    return "; ".join(parts if lost is None else [*parts, f"with {instead} instead, {-lost:+z.2f} points"])


def class_means(
    profiles: Float[np.ndarray, "N C"], labels: Integer[np.ndarray, " N"], classes: int
) -> Float[np.ndarray, "K C"]:
    """Mean of profiles [N, C] over the images of each class in labels int [N]: [K, C], NaN for an absent class."""
    means = np.full((classes, profiles.shape[1]), np.nan)
    for label in np.unique(labels):
        means[label] = profiles[labels == label].mean(axis=0)
    return means


def gate_limits(gates: Iterable[Float[np.ndarray, "..."]]) -> tuple[float, float]:
    """The colour scale of gates' weights, arrays [...]: 0 to 1, wider only if a gate exceeds that."""
    gates = list(gates)
    low, high = min(float(gate.min()) for gate in gates), max(float(gate.max()) for gate in gates)
    return min(0.0, low), max(1.0, high)
