"""What a map is worth as an explanation, and what a classifier's probabilities are worth."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage, stats


def object_share(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of each map's mass that lies on the object.

    Args:
        maps: [B, H, W], none below 0. A map of zeros counts as an even one: it points nowhere.
        masks: bool [B, H, W].

    Returns:
        Fractions [B]. An even map gets the object's share of the picture.
    """
    total = maps.sum(axis=(1, 2))
    empty = total == 0
    even = masks.mean(axis=(1, 2))
    return np.where(empty, even, (maps * masks).sum(axis=(1, 2)) / np.where(empty, 1, total))


def pointing(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Pointing game: whether the peak of each map lies on the object.

    Args:
        maps: [B, H, W].
        masks: bool [B, H, W].

    Returns:
        1 or 0 for each map, [B]; where several places share the peak, the fraction of them on the object.

    Source: arXiv:1608.00507, the pointing game, without its tolerance of 15 pixels.
    """
    peaks = maps == maps.max(axis=(1, 2), keepdims=True)
    return (peaks & masks).sum(axis=(1, 2)) / peaks.sum(axis=(1, 2))


def removal_order(maps: np.ndarray) -> np.ndarray:
    """Rank of each pixel, 0 where the map is highest: int [B, H, W] of maps [B, H, W]. Equals come in random order."""
    flat = maps.reshape(len(maps), -1)
    noise = np.random.default_rng(0).random(flat.shape)
    order = np.lexsort((noise, -flat), axis=-1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[None], axis=1)
    return ranks.reshape(maps.shape)


def replaced(images: np.ndarray, fill: np.ndarray, ranks: np.ndarray, steps: int) -> np.ndarray:
    """Images with more and more pixels taken from elsewhere, in the order of their ranks.

    Deletion fills with a grey picture. Insertion is the same with the two changed over: a blurred picture, filled with
    the true one.

    Args:
        images, fill: [B, H, W, 3].
        ranks: int [B, H, W], of `removal_order`.
        steps: S.

    Returns:
        [S + 1, B, H, W, 3]: 0/S, 1/S, ... S/S of the pixels are from `fill`.

    Source: arXiv:1806.07421, deletion and insertion.
    """
    pixels = ranks[0].size
    limits = np.round(pixels * np.arange(steps + 1) / steps)
    taken = ranks[None] < limits.reshape(-1, 1, 1, 1)
    return np.where(taken[..., None], fill[None], images[None])


def blurred(images: np.ndarray) -> np.ndarray:
    """Images [B, H, W, 3] under a Gaussian of an eighth of their shorter side: what insertion starts from."""
    sigma = min(images.shape[1:3]) / 8
    return ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0), mode="nearest")


def area(curves: np.ndarray) -> np.ndarray:
    """Area under curves [..., S + 1] over 0 to 1, by trapezoids: [...], the mean height."""
    return (curves[..., 1:] + curves[..., :-1]).mean(axis=-1) / 2


def rank_correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each pair of maps.

    Args:
        one, other: [B, h, w].

    Returns:
        [B] in -1..1; 0 where one map is constant, 1 where both are.

    Source: arXiv:1810.03292, the test by random weights: maps before and after the weights are drawn anew.
    """
    ranks = [stats.rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (one, other)]
    a, b = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    lengths = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    constant = [(rank == rank[:, :1]).all(axis=1) for rank in ranks]
    found = (a * b).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    return np.where(constant[0] & constant[1], 1.0, found.clip(-1, 1))


class Reliability(NamedTuple):
    """How far confidence can be believed, in M bins of equal width.

    Attributes:
        edges: [M + 1], from 0 to 1.
        count: int [M], answers in each bin.
        confidence: [M], mean probability of the answers; the bin's middle where it is empty.
        accuracy: [M], fraction of them that is right; 0 where the bin is empty.
        error: expected calibration error, the mean gap between the two over all answers, in [0, 1].
    """

    edges: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> Reliability:
    """The reliability diagram and the expected calibration error.

    Args:
        probabilities: [N, K].
        labels: int [N].
        bins: M; bin m holds confidences above m / M, up to (m + 1) / M.

    Source: arXiv:1706.04599, equations 2 and 3, with its 15 bins.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count, sure, correct = (np.bincount(place, weights, minlength=bins) for weights in (None, confidence, right))
    filled, divisor = count > 0, np.maximum(count, 1)
    edges = np.linspace(0, 1, bins + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    error = float(np.abs(correct - sure).sum() / len(labels))
    return Reliability(edges, count, np.where(filled, sure / divisor, middle), correct / divisor, error)


def confusion(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """How often each class (row) is taken for each (column): int [K, K] from int [N] and int [N]."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def per_class_accuracy(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy of each class with its interval, from a confusion matrix int [K, K].

    Returns:
        Fractions [K], and 95 % Wilson intervals [K, 2]; a class without a picture gets 0 and (0, 1): anything may be.
    """
    total, right = counts.sum(axis=1), np.diag(counts)
    z = stats.norm.ppf(0.975)
    fraction = right / np.maximum(total, 1)
    middle = (right + z**2 / 2) / (total + z**2)
    half = z * np.sqrt(total * fraction * (1 - fraction) + z**2 / 4) / (total + z**2)
    return fraction, np.clip(np.stack([middle - half, middle + half], axis=1), 0, 1)


class Spread(NamedTuple):
    """How much a gate varies, as standard deviations of weights.

    Attributes:
        between_pictures: of one channel's weight between pictures, root mean square over channels. Near 0, the gate is
            a constant that does not look at its input.
        between_channels: of the channels' mean weights. Near 0, all channels are weighed alike.
        by_class: share of the variance between pictures that the class explains, in [0, 1].
    """

    between_pictures: float
    between_channels: float
    by_class: float


def spread(profiles: np.ndarray, labels: np.ndarray) -> Spread:
    """How a gate varies: between pictures, between channels, and how much of the former goes with the class.

    Args:
        profiles: weight of each channel for each picture, [N, C].
        labels: int [N].
    """
    profiles = profiles.astype(np.float64)
    mean = profiles.mean(axis=0)
    within = sum(((profiles[labels == k] - profiles[labels == k].mean(axis=0)) ** 2).sum() for k in np.unique(labels))
    total = ((profiles - mean) ** 2).sum()
    between = float(np.sqrt(total / profiles.size))
    explained = 1 - within / total if between > 1e-6 else 0.0  # weights are float32: less is rounding
    return Spread(between, float(mean.std()), float(explained))


def class_means(profiles: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Mean of profiles [N, C] over the pictures of each class: [K, C], NaN for a class without a picture."""
    means = np.full((classes, profiles.shape[1]), np.nan)
    for label in np.unique(labels):
        means[label] = profiles[labels == label].mean(axis=0)
    return means
