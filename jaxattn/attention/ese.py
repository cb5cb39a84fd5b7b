"""Effective squeeze-and-excitation: channels weighed by one layer that keeps their number."""

from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn import init
from jaxattn.attention.gate import Gate


@final
class EffectiveSqueezeExcitation(Gate):
    """Channel gate s = sigmoid(W z + b), z the mean of x over H and W, W [C, C].

    Attributes:
        hard: clip(x / 6 + 1/2, 0, 1) in the place of the sigmoid.

    Source: arXiv:1911.06667, the eSE block. The paper writes a sigmoid, the authors' code (and timm) has the hard one:
    `ese` and `ese-code`.
    """

    paper = "arXiv:1911.06667"
    formula = "x σ(W mean(x) + b)"
    differs = "paper: sigmoid; code: hard sigmoid"

    hard: bool = False

    @nn.compact
    def gate(self, x: jax.Array) -> jax.Array:
        """Weights in (0, 1), [0, 1] where hard, [B, 1, 1, C], of x [B, H, W, C]."""
        channels = x.shape[-1]
        squeezed = jnp.mean(x, axis=(1, 2), keepdims=True)
        excited = init.dense(channels, channels, name="excite")(squeezed)
        return nn.hard_sigmoid(excited) if self.hard else nn.sigmoid(excited)
