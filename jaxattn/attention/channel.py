"""CBAM's channel gate: a small network that sees the mean and the largest value of each channel."""

from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn import init, ops
from jaxattn.attention.gate import Gate


@final
class ChannelAttention(Gate):
    """Channel gate s = sigmoid(mlp(mean(x)) + mlp(max(x))), mlp(z) = W1 relu(W0 z), shared.

    Attributes:
        reduction: r; W0 is [C, max(C // r, 1)].
        bias: whether both layers have one.

    Source: arXiv:1807.06521, equation 2. The paper writes no bias, the authors' code has one in both layers:
    `channel` and `channel-code`.
    """

    paper = "arXiv:1807.06521"
    formula = "x σ(mlp(mean(x)) + mlp(max(x)))"
    differs = "paper: mlp without bias; code: with"

    reduction: int = 16
    bias: bool = False

    @nn.compact
    def gate(self, x: jax.Array) -> jax.Array:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C]."""
        channels = x.shape[-1]
        hidden = max(channels // self.reduction, 1)
        squeeze = init.dense(hidden, channels, use_bias=self.bias, name="squeeze")
        excite = init.dense(channels, hidden, use_bias=self.bias, name="excite")
        pooled = jnp.mean(x, axis=(1, 2), keepdims=True), ops.largest(x, (1, 2))
        return nn.sigmoid(sum(excite(nn.relu(squeeze(z))) for z in pooled))
