"""Attention modules applied in sequence."""

import inspect
from collections.abc import Callable
from typing import final

from flax import linen as nn
from jax import Array
from jaxtyping import Float


def takes(module: Callable[..., nn.Module], field: str) -> bool:
    """Whether a Linen class, or a partial of one, accepts this field."""
    return field in inspect.signature(module).parameters


@final
class Chain(nn.Module):
    """Applies each module to the output of the one before it; they are named part_1, part_2, ...

    Attributes:
        parts: Linen classes or partials of them, first to last.
        train: passed to the parts that accept it.
    """

    parts: tuple[Callable[..., nn.Module], ...]
    train: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """x [B, H, W, C] through all parts: [B, H, W, C]."""
        for i, part in enumerate(self.parts, 1):
            mode = {"train": self.train} if takes(part, "train") else {}
            x = part(**mode, name=f"part_{i}")(x)
        return x
