"""SRM: channels weighed by their style, the mean and the standard deviation of each."""

from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn.attention.gate import Gate
from jaxattn.norm import BatchNorm


def _root(x: jax.Array) -> jax.Array:
    """Square root with gradient 0 at 0, where a channel is constant, in the place of infinity."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


@final
class StyleRecalibration(Gate):
    """Channel gate s = sigmoid(norm(w1 mean(x) + w2 std(x))), a pair of weights for each channel, over H and W.

    Attributes:
        sample: standard deviation over HW - 1 in the place of HW.
        train: whether BatchNorm uses the batch's statistics.

    Source: arXiv:1903.10829, style pooling and style integration. The paper divides by HW, the authors' code by HW - 1:
    `srm` and `srm-code`. The weights start at 0 as in the code. A map of one place is divided by 1.
    """

    paper = "arXiv:1903.10829"
    formula = "x σ(norm(w1 mean(x) + w2 std(x)))"
    differs = "paper: deviation over HW; code: over HW - 1"

    sample: bool = False
    train: bool = False

    @nn.compact
    def gate(self, x: jax.Array) -> jax.Array:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C]."""
        places = x.shape[1] * x.shape[2]
        count = max(places - 1, 1) if self.sample else places
        mean = jnp.mean(x, axis=(1, 2), keepdims=True)
        variance = jnp.sum(jnp.square(x - mean), axis=(1, 2), keepdims=True) / count
        by_mean, by_deviation = (
            self.param(name, nn.initializers.zeros, x.shape[-1:]) for name in ("mean", "deviation")
        )
        style = by_mean[None, None, None] * mean + by_deviation[None, None, None] * _root(variance)
        return nn.sigmoid(BatchNorm(name="norm")(style, self.train))
