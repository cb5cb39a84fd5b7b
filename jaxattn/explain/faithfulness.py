"""How faithful a map is as an explanation: localisation, deletion and insertion, and randomisation."""

import warnings

import numpy as np
import scipy
from jaxtyping import Bool, Float, Integer, Num


def mass_on_object(maps: Float[np.ndarray, "B H W"], masks: Bool[np.ndarray, "B H W"]) -> Float[np.ndarray, " B"]:
    """Fraction of each map's attribution mass that lies on the object.

    Args:
        maps: [B, H, W], not negative. A map of zeros counts as a uniform one.
        masks: bool [B, H, W].

    Returns:
        Fractions [B]. A uniform map gets the object's fraction of the image.
    """
    total = maps.sum(axis=(1, 2))
    empty = total == 0
    uniform = masks.mean(axis=(1, 2))
    return np.where(empty, uniform, (maps * masks).sum(axis=(1, 2)) / np.where(empty, 1, total))


def pointing(maps: Float[np.ndarray, "B H W"], masks: Bool[np.ndarray, "B H W"]) -> Float[np.ndarray, " B"]:
    """Pointing game: whether the maximum of each map lies on the object.

    Args:
        maps: [B, H, W].
        masks: bool [B, H, W].

    Returns:
        1 or 0 for each map, [B]; if several positions share the maximum, the fraction of them on the object.

    Source: arXiv:1608.00507, the pointing game, without its tolerance of 15 pixels.
    """
    peaks = maps == maps.max(axis=(1, 2), keepdims=True)
    return (peaks & masks).sum(axis=(1, 2)) / peaks.sum(axis=(1, 2))


def removal_order(maps: Float[np.ndarray, "B H W"]) -> Integer[np.ndarray, "B H W"]:
    """Rank of each pixel, 0 where the map is highest: int [B, H, W] of maps [B, H, W]. Ties are in random order."""
    flat = maps.reshape(len(maps), -1)
    noise = np.random.default_rng(0).random(flat.shape)
    order = np.lexsort((noise, -flat), axis=-1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[None], axis=1)
    return ranks.reshape(maps.shape)


def replace_pixels(
    images: Num[np.ndarray, "B H W 3"],
    fill: Num[np.ndarray, "B H W 3"],
    ranks: Integer[np.ndarray, "B H W"],
    steps: int,
) -> Num[np.ndarray, "S B H W 3"]:
    """Images with more and more pixels replaced, in the order of their ranks.

    Deletion fills with a grey image. Insertion is the same with the two exchanged: a blurred image, filled with the
    original.

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
    replaced = ranks[None] < limits.reshape(-1, 1, 1, 1)
    return np.where(replaced[..., None], fill[None], images[None])


def blurred(images: Num[np.ndarray, "B H W 3"]) -> Float[np.ndarray, "B H W 3"]:
    """Images [B, H, W, 3] blurred by a Gaussian (sigma: an eighth of the shorter side): the start of insertion."""
    sigma = min(images.shape[1:3]) / 8
    return scipy.ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0), mode="nearest")


def area(curves: Float[np.ndarray, "*N S"]) -> Float[np.ndarray, "*N"]:
    """Area under curves [..., S + 1] over 0 to 1, by trapezoids: [...], the mean height."""
    return np.asarray((curves[..., 1:] + curves[..., :-1]).mean(axis=-1) / 2)


def rank_correlation(one: Num[np.ndarray, "B h w"], other: Num[np.ndarray, "B h w"]) -> Float[np.ndarray, " B"]:
    """Spearman's correlation of each pair of maps.

    Args:
        one, other: [B, h, w].

    Returns:
        [B] in -1..1; NaN if a map is constant and has no order.

    Source: arXiv:1810.03292, the model randomisation test: maps before and after the weights are drawn again.
    """
    with warnings.catch_warnings(action="ignore", category=scipy.stats.ConstantInputWarning):
        return np.array([scipy.stats.spearmanr(a, b, axis=None).statistic for a, b in zip(one, other, strict=True)])
