"""Triplet attention: three gates, each over two of height, width and channel, pooled over the third."""

from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.attention.spatial import MOMENTUM, pooled_convolution
from jaxattn.layers.norm import BatchNorm


@final
class _Branch(nn.Module):
    """sigmoid(norm(conv7x7([mean, max]))), both over one axis of H, W, C, which stays with length 1."""

    axis: int
    train: bool

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B _ _ _"]:
        logits = BatchNorm(momentum=MOMENTUM, name="norm")(pooled_convolution(x, self.axis), self.train)
        return jnp.expand_dims(nn.sigmoid(logits[..., 0]), self.axis)


@final
class TripletAttention(Gate):
    """y = x (g_HC + g_WC + g_HW) / 3, each g = sigmoid(norm(conv7x7([mean(x), max(x)]))), pooled over the third axis.

    Attributes:
        train: whether BatchNorm uses the batch's statistics.

    Source: arXiv:2010.03045, section 3, which averages x times each gate, with the same result. In the code the kernel
    of the W-C branch is the transpose of this one.
    """

    paper = "arXiv:2010.03045"
    formula = "x (g_HC + g_WC + g_HW) / 3, g = σ(norm(conv7x7([mean, max])))"
    differs = ""

    train: bool = False

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Weights in (0, 1), [B, H, W, C], of x [B, H, W, C]: the mean of [B, 1, W, C], [B, H, 1, C], [B, H, W, 1]."""
        branches = {"width_channel": 1, "height_channel": 2, "height_width": 3}
        first, second, third = (_Branch(axis, self.train, name=name).gate(x) for name, axis in branches.items())
        return (first + second + third) / 3
