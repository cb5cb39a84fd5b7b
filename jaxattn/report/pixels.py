"""Small arrays as images inside a page: PNG as `data:` URLs."""

import base64
import functools
import io

import numpy as np
from PIL import Image

MAX_SIDE = 96  # pixels; larger images are shrunk to it
EMPTY = 255  # the colour that is transparent


def photo(image: np.ndarray) -> str:
    """An image, uint8 [H, W, 3]."""
    pillow_image = Image.fromarray(image)
    pillow_image.thumbnail((MAX_SIDE, MAX_SIDE))
    return _data_url(pillow_image)


def coloured(values: np.ndarray, limits: tuple[float, float] = (0, 1)) -> str:
    """Values [H, W] in viridis, from the lower to the upper limit; NaN is transparent."""
    low, high = limits
    scaled = (values - low) / ((high - low) or 1)
    shades = np.where(np.isnan(values), EMPTY, np.round(np.clip(np.nan_to_num(scaled), 0, 1) * (EMPTY - 1)))
    pillow_image = Image.fromarray(shades.astype(np.uint8))
    pillow_image.putpalette(_palette())
    return _data_url(pillow_image, transparency=EMPTY) if np.isnan(values).any() else _data_url(pillow_image)


def coarse(maps: np.ndarray, longest: int = MAX_SIDE) -> np.ndarray:
    """Every n-th row and column of maps [N, h, w], so that no side is longer than `longest`."""
    step = -(-max(maps.shape[1:]) // longest)
    return maps[:, ::step, ::step]


@functools.cache
def _palette():
    from matplotlib import colormaps

    return colormaps["viridis"](np.linspace(0, 1, EMPTY), bytes=True)[:, :3].tobytes() + bytes(3)


def _data_url(image, **options):
    file = io.BytesIO()
    image.save(file, "png", optimize=True, **options)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
