"""The kernel that reads a flattened map [H, W, C]: Flax flattens it in the order H, W, C, PyTorch in C, H, W."""

import math

import numpy as np

from jaxattn.errors import InputError


def to_chw(kernel: np.ndarray, channels: int, side: tuple[int, int] | None = None) -> np.ndarray:
    """The kernel [H W C, out], whose inputs are in the order H, W, C, as PyTorch's [out, C H W].

    Args:
        kernel: [H W C, out].
        channels: C.
        side: H and W of the map; None for a square one.

    Raises:
        InputError: if it does not read such a map.
    """
    height, width = side or _square(len(kernel), channels)
    return kernel.reshape(height, width, channels, -1).transpose(3, 2, 0, 1).reshape(kernel.shape[1], -1)


def from_chw(weight: np.ndarray, channels: int, side: tuple[int, int] | None = None) -> np.ndarray:
    """The inverse of `to_chw`: [out, C H W] to [H W C, out].

    Args:
        weight: [out, C H W].
        channels: C.
        side: H and W of the map; the map is square if this is None, or the weight reads a map of another size.

    Raises:
        InputError: if it does not read such a map.
    """
    inputs = weight.shape[1]
    fits = side is not None and side[0] * side[1] * channels == inputs
    height, width = side if side is not None and fits else _square(inputs, channels)
    return weight.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(-1, len(weight))


def map_side(image_shape: tuple[int, ...] | None, blocks: int) -> tuple[int, int] | None:
    """H and W of the last map for images of a shape (H, W, 3), halved by each block; None for None."""
    return None if image_shape is None else (image_shape[0] >> blocks, image_shape[1] >> blocks)


def _square(inputs, channels):
    side = math.isqrt(inputs // channels)
    if channels * side * side != inputs:
        raise InputError(f"the hidden layer must read {channels} channels of a square map, got {inputs} inputs")
    return side, side
