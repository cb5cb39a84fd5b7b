"""Attention modules applied in sequence."""

from collections.abc import Callable
from typing import final

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention import mode


@final
class Chain(nn.Module):
    """Applies each module to the output of the one before it; they are named part_1, part_2, ...

    Attributes:
        parts: Linen classes or partials of them, first to last.
        train: whether the parts are in training mode.
    """

    parts: tuple[Callable[..., nn.Module], ...]
    train: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """x [B, H, W, C] through all parts: [B, H, W, C]."""
        for i, part in enumerate(self.parts, 1):
            x = mode.attend(mode.create(part, self.train, f"part_{i}"), x, self.train)
        return x
