"""Convolution, pooling and normalisation as this program needs them on each platform."""

import functools

import jax
import jax.numpy as jnp

conv_general_dilated = jax.lax.conv_general_dilated


def max_pool_2x2(x: jax.Array) -> jax.Array:
    """Largest of each 2x2 window, stride 2: [B, H, W, C] to [B, H // 2, W // 2, C]; an odd last row or column is cut.

    Written as a reshape: on a CPU the gradient of `reduce_window` costs five times this one's. Where a window's
    largest value stands twice, the gradient is shared between its places (`reduce_window` gives it to the first).
    """
    batch, height, width, channels = x.shape
    height, width = height // 2, width // 2
    windows = x[:, : 2 * height, : 2 * width].reshape(batch, height, 2, width, 2, channels)
    return windows.max(axis=(2, 4))


def affine(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    """x [B, H, W, C] times scale [C] plus bias [C]."""
    return x * _over_places(scale) + _over_places(bias)


def _over_places(values):
    return values[None, None, None, :]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """x [B, H, W, C] normalised over B, H, W, with the batch's mean [C] and biased variance [C].

    The gradient is written out, since XLA does not find its short form. Nothing flows back through the second and
    third result: they are for the running statistics.
    """
    return _batch_norm_forward(x, scale, bias, epsilon)[0]


def _batch_norm_forward(x, scale, bias, epsilon):
    mean = jnp.mean(x, axis=(0, 1, 2))
    var = jnp.mean(jnp.square(x - _over_places(mean)), axis=(0, 1, 2))
    factor = jax.lax.rsqrt(var + epsilon)
    y = affine(x, scale * factor, bias - mean * scale * factor)
    return (y, mean, var), (x, scale, mean, factor)


def _batch_norm_backward(epsilon, residuals, gradients):
    x, scale, mean, factor = residuals
    dy = gradients[0]
    count = x.size // x.shape[-1]
    normalised = affine(x, factor, -mean * factor)
    dbias = jnp.sum(dy, axis=(0, 1, 2))
    dscale = jnp.sum(dy * normalised, axis=(0, 1, 2))
    dx = affine(dy, scale * factor, -scale * factor * dbias / count)
    return dx - normalised * _over_places(scale * factor * dscale / count), dscale, dbias


batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)
