"""From what a layer gives to a map over the picture."""

import numpy as np
from scipy import ndimage

FLAT = 1e-6  # of a map's largest value: differences below are rounding, not content


def stretch(maps: np.ndarray) -> np.ndarray:
    """Each map [..., h, w] shifted and scaled to lie in 0-1; a constant map becomes 0."""
    maps = np.asarray(maps, np.float64)
    low, high = maps.min(axis=(-2, -1), keepdims=True), maps.max(axis=(-2, -1), keepdims=True)
    flat = high - low <= FLAT * np.maximum(np.abs(low), np.abs(high))
    return np.where(flat, 0, (maps - low) / np.where(flat, 1, high - low))


def zoom(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Maps [..., h, w] enlarged (or shrunk) to [..., height, width], linear between the centres of their cells."""
    maps = np.asarray(maps, np.float64)
    factors = (1,) * (maps.ndim - 2) + (height / maps.shape[-2], width / maps.shape[-1])
    return ndimage.zoom(maps, factors, order=1, mode="nearest", grid_mode=True)


def over_picture(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Maps [..., h, w] as they are laid over a picture and scored: [..., height, width], each from 0 to 1."""
    return stretch(zoom(maps, height, width))


def strongest(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The channels with the highest mean activation, picture by picture.

    Args:
        features: what a layer gives, [B, h, w, C].
        count: how many channels.

    Returns:
        Their numbers, int [B, n], highest mean first, and their maps [B, n, h, w]; n = min(count, C).
    """
    channels = np.argsort(-features.mean(axis=(1, 2)), axis=1, kind="stable")[:, :count]
    maps = np.take_along_axis(features, channels[:, None, None, :], axis=3)
    return channels, np.moveaxis(maps, 3, 1)
