"""SimAM: each value weighted by how far it is from its channel's mean, without parameters."""

from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate


@final
class SimAM(Gate):
    """Gate s = sigmoid((x - mean)^2 / (4 (var + lambda)) + 1/2), mean and variance of each channel over H and W.

    Attributes:
        regularisation: lambda.
        sample: whether the variance divides by HW - 1 instead of HW.

    Source: Yang et al., ICML 2021 (PMLR 139:11863), equations 5 and 6: the inverse of the minimal energy. The equations
    divide the variance by HW; the paper's listing and the authors' code by HW - 1: `simam` and `simam-code`. For a
    map of one position, where HW - 1 is zero, the divisor is 1.
    """

    paper = "PMLR 139:11863"
    formula = "x σ((x - mean)² / (4 (var + λ)) + 1/2), λ = 1e-4"
    differs = "paper: variance divided by HW; listing and code: by HW - 1"

    regularisation: float = 1e-4
    sample: bool = False

    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Weights in [sigmoid(1/2), 1), [B, H, W, C], of x [B, H, W, C]."""
        positions = x.shape[1] * x.shape[2]
        count = max(positions - 1, 1) if self.sample else positions
        squares = jnp.square(x - jnp.mean(x, axis=(1, 2), keepdims=True))
        variance = jnp.sum(squares, axis=(1, 2), keepdims=True) / count
        return nn.sigmoid(squares / (4 * (variance + self.regularisation)) + 0.5)
