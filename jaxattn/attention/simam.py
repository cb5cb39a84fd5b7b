"""SimAM: each value weighed by how far it stands out of its channel, without parameters."""

from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn.attention.gate import Gate


@final
class SimAM(Gate):
    """Gate s = sigmoid((x - mean)^2 / (4 (var + lambda)) + 1/2), mean and variance of each channel over H and W.

    Attributes:
        regularisation: lambda.
        sample: variance over HW - 1 in the place of HW.

    Source: Yang et al., ICML 2021 (PMLR 139:11863), equations 5 and 6: the inverse of the minimal energy. The equations
    divide the variance by HW; the paper's listing and the authors' code by HW - 1: `simam` and `simam-code`. A map of
    one place, where HW - 1 is zero, is divided by 1.
    """

    paper = "PMLR 139:11863"
    formula = "x σ((x - mean)² / (4 (var + λ)) + 1/2), λ = 1e-4"
    differs = "paper: variance over HW; listing and code: over HW - 1"

    regularisation: float = 1e-4
    sample: bool = False

    def gate(self, x: jax.Array) -> jax.Array:
        """Weights in [sigmoid(1/2), 1), [B, H, W, C], of x [B, H, W, C]."""
        places = x.shape[1] * x.shape[2]
        count = max(places - 1, 1) if self.sample else places
        squares = jnp.square(x - jnp.mean(x, axis=(1, 2), keepdims=True))
        variance = jnp.sum(squares, axis=(1, 2), keepdims=True) / count
        return nn.sigmoid(squares / (4 * (variance + self.regularisation)) + 0.5)
