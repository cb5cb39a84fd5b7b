"""CBAM's spatial gate: a convolution over the mean and the maximum of the channels at each position."""

from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.layers import init
from jaxattn.layers.grouped_convolution import conv_general_dilated
from jaxattn.layers.norm import BatchNorm
from jaxattn.layers.pooling import max_first

MOMENTUM = 0.99  # of the BatchNorm in the authors' code; PyTorch writes it as momentum .01


def pooled_convolution(x: Float[Array, "B H W C"], axis: int) -> Float[Array, "B P Q 1"]:
    """Mean and maximum of x [B, H, W, C] along one axis of H, W, C, convolved 7x7 over the other two, no bias.

    Returns:
        [B, P, Q, 1], P and Q the remaining axes in their order. The layer becomes a submodule of the calling module.
    """
    pooled = jnp.stack([jnp.mean(x, axis=axis), max_first(x, (axis,)).squeeze(axis)], axis=-1)
    layer = init.conv(1, 2, 7, padding=3, use_bias=False, conv_general_dilated=conv_general_dilated, name="conv")
    return layer(pooled)


@final
class SpatialAttention(Gate):
    """Spatial gate s = sigmoid(conv7x7([mean(x), max(x)])), both taken over C.

    Attributes:
        normalise: whether BatchNorm is applied between the convolution and the sigmoid.
        train: whether it uses the batch's statistics.

    Source: arXiv:1807.06521, equation 3. The paper has no normalisation, the authors' code has: `spatial` and
    `spatial-code`. The code stacks the maximum first; that only swaps the kernel's two input channels.
    """

    paper = "arXiv:1807.06521"
    formula = "x σ(conv7x7([mean_C(x), max_C(x)]))"
    differs = "paper: no normalisation; code: BatchNorm before the sigmoid"

    normalise: bool = False
    train: bool = False

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W 1"]:
        """Weights in (0, 1), [B, H, W, 1], of x [B, H, W, C]."""
        logits = pooled_convolution(x, axis=3)
        if self.normalise:
            logits = BatchNorm(momentum=MOMENTUM, name="norm")(logits, self.train)
        return nn.sigmoid(logits)
