"""CBAM's spatial gate: a convolution that sees the mean and the largest value of each place."""

from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn import init, ops
from jaxattn.attention.convolution import conv_general_dilated
from jaxattn.attention.gate import Gate
from jaxattn.norm import BatchNorm

MOMENTUM = 0.99  # of the BatchNorm in the authors' code, whose .01 is the share of the new statistics


def pooled_convolution(x: jax.Array, axis: int) -> jax.Array:
    """Mean and maximum of x [B, H, W, C] along one axis of H, W, C, convolved 7x7 over the other two, no bias.

    Returns:
        [B, P, Q, 1], P and Q the axes that are left, in their order; the layer belongs to the module that calls it.
    """
    pooled = jnp.stack([jnp.mean(x, axis=axis), ops.largest(x, (axis,)).squeeze(axis)], axis=-1)
    layer = init.conv(1, 2, 7, padding=3, use_bias=False, conv_general_dilated=conv_general_dilated, name="conv")
    return layer(pooled)


@final
class SpatialAttention(Gate):
    """Spatial gate s = sigmoid(conv7x7([mean(x), max(x)])), both taken over C.

    Attributes:
        normalise: BatchNorm between the convolution and the sigmoid.
        train: whether that uses the batch's statistics.

    Source: arXiv:1807.06521, equation 3. The paper has no normalisation, the authors' code has: `spatial` and
    `spatial-code`. The code stacks the maximum first; only the order of the kernel's two planes follows from that.
    """

    paper = "arXiv:1807.06521"
    formula = "x σ(conv7x7([mean_C(x), max_C(x)]))"
    differs = "paper: no normalisation; code: BatchNorm before the sigmoid"

    normalise: bool = False
    train: bool = False

    @nn.compact
    def gate(self, x: jax.Array) -> jax.Array:
        """Weights in (0, 1), [B, H, W, 1], of x [B, H, W, C]."""
        logits = pooled_convolution(x, axis=3)
        if self.normalise:
            logits = BatchNorm(momentum=MOMENTUM, name="norm")(logits, self.train)
        return nn.sigmoid(logits)
