"""Squeeze-and-excitation: channels weighed by a small network that sees their means."""

from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn.attention.gate import Gate
from jaxattn.init import dense


@final
class SqueezeExcitation(Gate):
    """Channel gate s = sigmoid(W2 relu(W1 z)), z the mean of x over H and W.

    Attributes:
        reduction: r; W1 is [C, max(C // r, 1)].

    Source: arXiv:1709.01507, equations 2-4. As in the common PyTorch tutorial: neither layer has a bias, at least
    one hidden unit, and weights drawn as PyTorch draws them.
    """

    reduction: int = 16

    @nn.compact
    def gate(self, x: jax.Array) -> jax.Array:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C]."""
        channels = x.shape[-1]
        squeezed = jnp.mean(x, axis=(1, 2), keepdims=True)
        hidden = nn.relu(dense(max(channels // self.reduction, 1), channels, use_bias=False, name="squeeze")(squeezed))
        return nn.sigmoid(dense(channels, hidden.shape[-1], use_bias=False, name="excite")(hidden))
