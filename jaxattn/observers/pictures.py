"""Maps overlaid on images, as plain arrays: they are drawn after every epoch, and figures would take too long."""

import functools

import numpy as np

from jaxattn.explain.maps import zoom

SCALE = 3  # enlargement of the images


def overlays(images: np.ndarray, maps: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Images in a row, and below each the image with its map overlaid in viridis: uint8 [H', W', 3].

    Args:
        images: uint8 [N, H, W, 3].
        maps: [N, h, w].
        limits: the lowest and the highest value of the colour scale.
    """
    low, high = limits
    zoomed = (zoom(maps, *images.shape[1:3]) - low) / ((high - low) or 1)
    coloured = _palette()[np.round(np.clip(zoomed, 0, 1) * 255).astype(np.uint8)]
    grey = images.mean(axis=3, keepdims=True)
    over = np.round((grey + coloured) / 2).astype(np.uint8)
    rows = np.concatenate([np.concatenate(list(row), axis=1) for row in (images, over)])
    return rows.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


@functools.cache
def _palette():
    from matplotlib import colormaps

    return colormaps["viridis"](np.arange(256), bytes=True)[:, :3]
