"""From the output of a layer to a map over the image."""

import numpy as np
import scipy
from jaxtyping import Float, Integer, Num

FLAT = 1e-6  # relative to a map's maximum: smaller differences are rounding, not content


def stretch(maps: Num[np.ndarray, "*N h w"]) -> Float[np.ndarray, "*N h w"]:
    """Each map [..., h, w] shifted and scaled to 0-1; a constant map becomes 0."""
    maps = np.asarray(maps, np.float64)
    low, high = maps.min(axis=(-2, -1), keepdims=True), maps.max(axis=(-2, -1), keepdims=True)
    flat = high - low <= FLAT * np.maximum(np.abs(low), np.abs(high))
    return np.where(flat, 0, (maps - low) / np.where(flat, 1, high - low))


def zoom(maps: Num[np.ndarray, "*N h w"], height: int, width: int) -> Float[np.ndarray, "*N H W"]:
    """Maps [..., h, w] resized to [..., height, width], linear between the centres of their cells."""
    maps = np.asarray(maps, np.float64)
    factors = (1,) * (maps.ndim - 2) + (height / maps.shape[-2], width / maps.shape[-1])
    return scipy.ndimage.zoom(maps, factors, order=1, mode="nearest", grid_mode=True)


def over_image(maps: Num[np.ndarray, "*N h w"], height: int, width: int) -> Float[np.ndarray, "*N H W"]:
    """Maps [..., h, w] as they are overlaid on an image and scored: [..., height, width], each from 0 to 1."""
    return stretch(zoom(maps, height, width))


def strongest(
    features: Float[np.ndarray, "B h w C"], count: int
) -> tuple[Integer[np.ndarray, "B n"], Float[np.ndarray, "B n h w"]]:
    """The channels with the highest mean activation, image by image.

    Args:
        features: the output of a layer, [B, h, w, C].
        count: how many channels.

    Returns:
        Their numbers, int [B, n], highest mean first, and their maps [B, n, h, w]; n = min(count, C).
    """
    channels = np.argsort(-features.mean(axis=(1, 2)), axis=1, kind="stable")[:, :count]
    maps = np.take_along_axis(features, channels[:, None, None, :], axis=3)
    return channels, np.moveaxis(maps, 3, 1)
