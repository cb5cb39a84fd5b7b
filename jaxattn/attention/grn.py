"""Global response normalisation: each channel scaled by its norm relative to those of all channels."""

from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.layers.norm import root

EPSILON = 1e-6


@final
class GlobalResponseNormalisation(nn.Module):
    """y = x + gamma x n + beta, n_c = ||x_c|| / sum over k of ||x_k||, norms over H and W.

    Attributes:
        average: whether norms are divided by their mean over the channels instead of their sum.

    Source: arXiv:2301.00808, feature aggregation, normalisation and calibration. The equation divides by the sum, the
    paper's listing and the code by the mean: `grn` and `grn-code`. gamma (`scale`) and beta (`bias`) start at 0, so
    the module starts as the identity. The paper applies it to the widened map inside a block.
    """

    paper = "arXiv:2301.00808"
    formula = "x + γ x ‖x_c‖ / Σ_k ‖x_k‖ + β"
    differs = "paper: norms divided by their sum; listing and code: by their mean"

    average: bool = False

    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
        """Weights 1 + gamma n, of any size and sign, [B, 1, 1, C], of x [B, H, W, C]."""
        norms = root(jnp.sum(jnp.square(x), axis=(1, 2), keepdims=True))
        reduce = jnp.mean if self.average else jnp.sum
        scale = self.param("scale", nn.initializers.zeros, x.shape[-1:])[None, None, None]
        return 1 + scale * (norms / (reduce(norms, axis=-1, keepdims=True) + EPSILON))

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """x [B, H, W, C] times its gate, plus beta: [B, H, W, C]."""
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])[None, None, None]
        return (x * self.gate(x) + bias).astype(x.dtype)
