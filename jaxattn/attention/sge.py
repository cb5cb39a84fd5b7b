"""Spatial group-wise enhance: in each group of channels, positions weighted by their similarity to the mean."""

import math
from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.layers.norm import root

EPSILON = 1e-5


@final
class SpatialGroupEnhance(Gate):
    """Gate s_i = sigmoid(gamma n_i + beta) for each group and position i: n is c normalised over positions.

    c_i = x_i . mean(x) is the similarity of a position to the mean over all, both within the group's channels.

    Attributes:
        groups: of channels; gcd(C, groups) of them are used, so that they divide C.
        sample: whether the variance divides by HW - 1 instead of HW.

    Source: arXiv:1905.09646, with 64 groups, gamma (`scale`) starting at 0 and beta (`bias`) at 1 as in the authors'
    code. The paper divides the variance by HW, the code by HW - 1: `sge` and `sge-code`. If C divides 64, each channel
    is its own group. For a map of one position the divisor is 1.
    """

    paper = "arXiv:1905.09646"
    formula = "x σ(γ norm(x · mean(x)) + β), by group of channels, norm over positions"
    differs = "paper: variance divided by HW; code: by HW - 1"

    groups: int = 64
    sample: bool = False

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Weights in (0, 1), [B, H, W, C], of x [B, H, W, C]; the same for all channels of a group."""
        batch, height, width, channels = x.shape
        groups = math.gcd(channels, self.groups)
        products = x * jnp.mean(x, axis=(1, 2), keepdims=True)
        similarity = jnp.sum(products.reshape(batch, height, width, groups, -1), axis=-1)
        centred = similarity - jnp.mean(similarity, axis=(1, 2), keepdims=True)
        count = max(height * width - 1, 1) if self.sample else height * width
        deviation = root(jnp.sum(jnp.square(centred), axis=(1, 2), keepdims=True) / count)
        scale = self.param("scale", nn.initializers.zeros, (groups,))[None, None, None]
        bias = self.param("bias", nn.initializers.ones, (groups,))[None, None, None]
        weights = nn.sigmoid(scale * (centred / (deviation + EPSILON)) + bias)
        return jnp.repeat(weights, channels // groups, axis=-1)
