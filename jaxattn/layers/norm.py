"""Batch normalisation that keeps its statistics as PyTorch does, instance normalisation, and a safe square root."""

import functools
from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float


@final
class BatchNorm(nn.Module):
    """Normalises each channel over the batch in training, with running statistics in evaluation.

    y = (x - mean) / sqrt(var + eps) * scale + bias, with the biased variance of the batch; the running variance is
    updated with the unbiased one, as in PyTorch (Flax's own uses the biased one).

    Attributes:
        momentum: fraction of the old running statistics that is kept (PyTorch's momentum .1 is .9 here).
        epsilon: added to the variance.
        scale_init: initialiser of `scale`; zeros make a residual branch start as the identity.
        use_scale: whether there is a `scale`; else it is 1.
        relu: whether to return the ReLU of the result; its gradient stores no extra array.

    Source: arXiv:1502.03167, algorithm 1.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    use_scale: bool = True
    relu: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "B H W C"]:
        """x [B, H, W, C] normalised, same shape; `train` uses the batch's statistics and updates the running ones."""
        shape = x.shape[-1:]
        scale = self.param("scale", self.scale_init, shape) if self.use_scale else jnp.ones(shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape)
        if not train:
            factor = scale * jax.lax.rsqrt(running_var.value + self.epsilon)
            y = _affine(x, factor, bias - running_mean.value * factor)
            return nn.relu(y) if self.relu else y
        y, mean, var = batch_norm(x, scale, bias, self.epsilon, self.relu)
        if not self.is_initializing():
            count = x.size // x.shape[-1]
            keep, new = self.momentum, 1 - self.momentum
            running_mean.value = keep * running_mean.value + new * mean
            running_var.value = keep * running_var.value + new * var * (count / max(count - 1, 1))
        return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def batch_norm(
    x: Float[Array, "B H W C"], scale: Float[Array, " C"], bias: Float[Array, " C"], epsilon: float, relu: bool = False
) -> tuple[Float[Array, "B H W C"], Float[Array, " C"], Float[Array, " C"]]:
    """x [B, H, W, C] normalised over B, H, W, or its ReLU, with the batch's mean [C] and biased variance [C].

    The gradient is hand-written, since XLA does not find its short form. No gradient flows through the returned mean
    and variance: they are for the running statistics.

    Source: arXiv:1502.03167, algorithm 1.
    """
    return _batch_norm_forward(x, scale, bias, epsilon, relu)[0]


def _batch_norm_forward(x, scale, bias, epsilon, relu):
    x = _computed_once_on_cpu(x)
    mean = jnp.mean(x, axis=(0, 1, 2))
    var = jnp.mean(jnp.square(x - _broadcast(mean)), axis=(0, 1, 2))
    factor = jax.lax.rsqrt(var + epsilon)
    y = _affine(x, scale * factor, bias - mean * scale * factor)
    return (nn.relu(y) if relu else y, mean, var), (x, scale, bias, mean, factor)


def _computed_once_on_cpu(x):
    """x, behind a barrier on CPUs: otherwise XLA would recompute it in each operation that reads it."""
    return jax.lax.platform_dependent(x, cpu=jax.lax.optimization_barrier, default=lambda x: x)


def _batch_norm_backward(epsilon, relu, residuals, gradients):
    x, scale, bias, mean, factor = residuals
    dy = gradients[0]
    if relu:
        dy = jnp.where(_affine(x, scale * factor, bias - mean * scale * factor) > 0, dy, 0)
    count = x.size // x.shape[-1]
    normalised = _affine(x, factor, -mean * factor)
    dbias = jnp.sum(dy, axis=(0, 1, 2))
    dscale = jnp.sum(dy * normalised, axis=(0, 1, 2))
    dx = _affine(dy, scale * factor, -scale * factor * dbias / count)
    return dx - normalised * _broadcast(scale * factor * dscale / count), dscale, dbias


batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)


def instance_norm(x: Float[Array, "B H W C"], epsilon: float = 1e-5) -> Float[Array, "B H W C"]:
    """x [B, H, W, C] with each channel of each image shifted and scaled to mean 0 and variance 1 over H and W.

    Source: arXiv:1607.08022, without scale and bias; GroupNorm with as many groups as channels.
    """
    centred = x - jnp.mean(x, axis=(1, 2), keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(jnp.square(centred), axis=(1, 2), keepdims=True) + epsilon)


def root(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Square root of x [...] whose gradient at 0, where a channel is constant, is 0 instead of infinity."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def _affine(x, scale, bias):
    """x [B, H, W, C] times scale [C] plus bias [C]."""
    return x * _broadcast(scale) + _broadcast(bias)


def _broadcast(values):
    return values[None, None, None, :]
