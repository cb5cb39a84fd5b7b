"""SRM: channels weighted by their style, the mean and the standard deviation of each."""

from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.layers.norm import BatchNorm, root


@final
class StyleRecalibration(Gate):
    """Channel gate s = sigmoid(norm(w1 mean(x) + w2 std(x))), both over H and W, with w1 and w2 [C].

    Attributes:
        sample: whether the standard deviation divides by HW - 1 instead of HW.
        train: whether BatchNorm uses the batch's statistics.

    Source: arXiv:1903.10829, style pooling and style integration. The paper divides by HW, the authors' code by HW - 1:
    `srm` and `srm-code`. The weights start at 0 as in the code. For a map of one position
    the divisor is 1.
    """

    paper = "arXiv:1903.10829"
    formula = "x σ(norm(w1 mean(x) + w2 std(x)))"
    differs = "paper: variance divided by HW; code: by HW - 1"

    sample: bool = False
    train: bool = False

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C]."""
        positions = x.shape[1] * x.shape[2]
        count = max(positions - 1, 1) if self.sample else positions
        mean = jnp.mean(x, axis=(1, 2), keepdims=True)
        variance = jnp.sum(jnp.square(x - mean), axis=(1, 2), keepdims=True) / count
        by_mean, by_deviation = (
            self.param(name, nn.initializers.zeros, x.shape[-1:]) for name in ("mean", "deviation")
        )
        style = by_mean[None, None, None] * mean + by_deviation[None, None, None] * root(variance)
        return nn.sigmoid(BatchNorm(name="norm")(style, self.train))
