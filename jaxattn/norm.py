"""Batch normalisation that keeps its statistics as PyTorch does."""

from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn import ops


@final
class BatchNorm(nn.Module):
    """Normalises each channel over the batch in training, by running statistics in evaluation.

    y = (x - mean) / sqrt(var + eps) * scale + bias, with the biased variance of the batch; the running variance is
    fed the unbiased one, as PyTorch does (Flax's own feeds the biased one).

    Attributes:
        momentum: share of the old running statistics that stays (PyTorch's momentum .1 is .9 here).
        epsilon: added to the variance.
        scale_init: how `scale` starts; zeros make a residual branch begin as nothing.

    Source: arXiv:1502.03167, algorithm 1.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """x [B, H, W, C] normalised, same shape; `train` uses the batch's statistics and updates the running ones."""
        shape = x.shape[-1:]
        scale = self.param("scale", self.scale_init, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape)
        if not train:
            factor = scale * jax.lax.rsqrt(running_var.value + self.epsilon)
            return ops.affine(x, factor, bias - running_mean.value * factor)
        y, mean, var = ops.batch_norm(x, scale, bias, self.epsilon)
        if not self.is_initializing():
            count = x.size // x.shape[-1]
            keep, new = self.momentum, 1 - self.momentum
            running_mean.value = keep * running_mean.value + new * mean
            running_var.value = keep * running_var.value + new * var * (count / max(count - 1, 1))
        return y
