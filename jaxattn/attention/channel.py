"""CBAM's channel gate: a small network that sees the mean and the maximum of each channel."""

from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.layers import init
from jaxattn.layers.pooling import max_first


@final
class ChannelAttention(Gate):
    """Channel gate s = sigmoid(mlp(mean(x)) + mlp(max(x))), both over H and W, with one mlp(z) = W1 relu(W0 z).

    Attributes:
        reduction: r; W0 is [C, max(C // r, 1)].
        bias: whether both layers have a bias.

    Source: arXiv:1807.06521, equation 2. The paper has no bias, the authors' code has one in both layers:
    `channel` and `channel-code`.
    """

    paper = "arXiv:1807.06521"
    formula = "x σ(mlp(mean(x)) + mlp(max(x)))"
    differs = "paper: mlp without bias; code: with"

    reduction: int = 16
    bias: bool = False

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C]."""
        channels = x.shape[-1]
        hidden = max(channels // self.reduction, 1)
        squeeze = init.dense(hidden, channels, use_bias=self.bias, name="squeeze")
        excite = init.dense(channels, hidden, use_bias=self.bias, name="excite")
        pooled = jnp.mean(x, axis=(1, 2), keepdims=True), max_first(x, (1, 2))
        return nn.sigmoid(sum(excite(nn.relu(squeeze(z))) for z in pooled))
