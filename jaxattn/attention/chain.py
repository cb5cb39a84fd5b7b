"""Attention modules in a row."""

import inspect
from collections.abc import Callable
from typing import final

import jax
from flax import linen as nn


def takes(module: Callable[..., nn.Module], field: str) -> bool:
    """Whether a Linen class, or a partial of one, can be given this field."""
    return field in inspect.signature(module).parameters


@final
class Chain(nn.Module):
    """Each module works on what the one before it gave; they are called part_1, part_2, ...

    Attributes:
        parts: Linen classes or partials of them, first to last.
        train: handed to the parts that take it.
    """

    parts: tuple[Callable[..., nn.Module], ...]
    train: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x [B, H, W, C] through all parts: [B, H, W, C]."""
        for i, part in enumerate(self.parts, 1):
            mode = {"train": self.train} if takes(part, "train") else {}
            x = part(**mode, name=f"part_{i}")(x)
        return x
