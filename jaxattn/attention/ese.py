"""Effective squeeze-and-excitation: channels weighted by a single layer without a bottleneck."""

from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.layers import init


@final
class EffectiveSqueezeExcitation(Gate):
    """Channel gate s = sigmoid(W z + b), z the mean of x over H and W, W [C, C].

    Attributes:
        hard: whether to use the hard sigmoid, clip(u / 6 + 1/2, 0, 1), instead of the sigmoid.

    Source: arXiv:1911.06667, the eSE block. The paper has a sigmoid, the authors' code (and timm) uses the hard
    sigmoid: `ese` and `ese-code`.
    """

    paper = "arXiv:1911.06667"
    formula = "x σ(W mean(x) + b)"
    differs = "paper: sigmoid; code: hard sigmoid"

    hard: bool = False

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
        """Weights in (0, 1), or in [0, 1] if hard, [B, 1, 1, C], of x [B, H, W, C]."""
        channels = x.shape[-1]
        squeezed = jnp.mean(x, axis=(1, 2), keepdims=True)
        excited = init.dense(channels, channels, name="excite")(squeezed)
        return nn.hard_sigmoid(excited) if self.hard else nn.sigmoid(excited)
