"""Triplet attention: three gates, each blind to one of height, width and channel."""

from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn.attention.gate import Gate
from jaxattn.attention.spatial import MOMENTUM, pooled_convolution
from jaxattn.norm import BatchNorm


@final
class _Branch(nn.Module):
    """sigmoid(norm(conv7x7([mean, max]))), both along one axis of H, W, C."""

    axis: int
    train: bool

    @nn.compact
    def gate(self, x: jax.Array) -> jax.Array:
        logits = BatchNorm(momentum=MOMENTUM, name="norm")(pooled_convolution(x, self.axis), self.train)
        return jnp.expand_dims(nn.sigmoid(logits[..., 0]), self.axis)


@final
class TripletAttention(Gate):
    """y = x (g_HC + g_WC + g_HW) / 3, each g = sigmoid(norm(conv7x7([mean(x), max(x)]))), both along the third axis.

    Attributes:
        train: whether BatchNorm uses the batch's statistics.

    Source: arXiv:2010.03045, section 3, which averages x times each gate: the same. The code's kernel of the W-C
    branch is this one's transpose.
    """

    paper = "arXiv:2010.03045"
    formula = "x (g_HC + g_WC + g_HW) / 3, g = σ(norm(conv7x7([mean, max])))"
    differs = ""

    train: bool = False

    @nn.compact
    def gate(self, x: jax.Array) -> jax.Array:
        """Weights in (0, 1), [B, H, W, C], of x [B, H, W, C]: the mean of [B, 1, W, C], [B, H, 1, C], [B, H, W, 1]."""
        branches = {"width_channel": 1, "height_channel": 2, "height_width": 3}
        return sum(_Branch(axis, self.train, name=name).gate(x) for name, axis in branches.items()) / 3
