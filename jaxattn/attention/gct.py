"""Gated channel transformation: channels compete by their norms, with three numbers for each channel."""

from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate

EPSILON = 1e-5


@final
class GatedChannelTransformation(Gate):
    """Channel gate s = 1 + tanh(gamma e / rms(e) + beta), e = alpha ||x||, the norm over H and W, rms over C.

    Source: arXiv:1909.11519, global context embedding, channel normalisation and gating adaptation, with the l2 norm in
    both places. alpha starts at 1, gamma and beta at 0, so the module starts as the identity. The code adds epsilon to
    the mean over the channels; the paper, and this module, add it to their sum. That only matters where the whole map
    is nearly zero.
    """

    paper = "arXiv:1909.11519"
    formula = "x (1 + tanh(γ e / rms_C(e) + β)), e = α ‖x‖"
    differs = ""

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
        """Weights in (0, 2), [B, 1, 1, C], of x [B, H, W, C]."""
        channels = x.shape[-1]
        alpha = self.param("alpha", nn.initializers.ones, (channels,))
        gamma, beta = (self.param(name, nn.initializers.zeros, (channels,)) for name in ("gamma", "beta"))
        energy = jnp.sum(jnp.square(x), axis=(1, 2))
        embedding = alpha[None] * jnp.sqrt(energy + EPSILON)
        total = jnp.sum(jnp.square(embedding), axis=1, keepdims=True)
        normalised = embedding * jnp.sqrt(channels / (total + EPSILON))
        return 1 + jnp.tanh(gamma[None] * normalised + beta[None])[:, None, None, :]
