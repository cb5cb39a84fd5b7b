"""Small arrays as pictures that stand inside a page: PNG as `data:` addresses."""

import base64
import functools
import io

import numpy as np
from PIL import Image

LARGEST = 96  # pixels a side; larger pictures are shrunk to it
EMPTY = 255  # the colour that is transparent


def photo(image: np.ndarray) -> str:
    """A picture, uint8 [H, W, 3]."""
    picture = Image.fromarray(image)
    picture.thumbnail((LARGEST, LARGEST))
    return _address(picture)


def coloured(values: np.ndarray, limits: tuple[float, float] = (0, 1)) -> str:
    """Values [H, W] in viridis, from the lower to the upper limit; NaN is transparent."""
    low, high = limits
    scaled = (values - low) / ((high - low) or 1)
    shades = np.where(np.isnan(values), EMPTY, np.round(np.clip(np.nan_to_num(scaled), 0, 1) * (EMPTY - 1)))
    picture = Image.fromarray(shades.astype(np.uint8))
    picture.putpalette(_palette())
    return _address(picture, transparency=EMPTY) if np.isnan(values).any() else _address(picture)


def coarse(maps: np.ndarray, largest: int = LARGEST) -> np.ndarray:
    """Maps [N, h, w], every n-th row and column of them, so that no side is longer than `largest`."""
    step = -(-max(maps.shape[1:]) // largest)
    return maps[:, ::step, ::step]


@functools.cache
def _palette():
    from matplotlib import colormaps

    return colormaps["viridis"](np.linspace(0, 1, EMPTY), bytes=True)[:, :3].tobytes() + bytes(3)


def _address(picture, **options):
    file = io.BytesIO()
    picture.save(file, "png", optimize=True, **options)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
