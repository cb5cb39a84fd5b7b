"""Convolutions with many groups or few channels as sums and matrix products on CPUs, where XLA's own are slow.

XLA's own take 3 to 100 times as long there, and the gradient of one with 32 groups takes seconds per step. Accelerators
use XLA's own. Maps are [B, H, W, C], kernels [K, K, C / groups, F].
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from jaxattn.layers import convolution

Pairs = Sequence[tuple[int, int]]


def conv_general_dilated(
    x: Float[Array, "B H W C"],
    kernel: Float[Array, "K K Cg F"],
    window_strides: Sequence[int],
    padding: Pairs,
    *,
    rhs_dilation: Sequence[int],
    **options,
) -> Float[Array, "B H2 W2 F"]:
    """`jax.lax.conv_general_dilated` for `nn.Conv(conv_general_dilated=...)`, [B, H', W', F]."""
    shape = {"window_strides": window_strides, "padding": padding, "rhs_dilation": rhs_dilation}
    groups = options["feature_group_count"]

    def default(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, **shape, **options)

    if not convolution.is_plain({**options, "feature_group_count": 1}):
        return default(x, kernel)

    def cpu(x, kernel):
        if groups == x.shape[-1] == kernel.shape[-1]:
            return _by_taps(x, kernel, **shape)
        if groups > 1:
            dense = _block_diagonal(kernel, groups)
            return convolution.conv_general_dilated(x, dense, **shape, **options | {"feature_group_count": 1})
        if max(window_strides) == max(rhs_dilation) == 1:
            return _by_rows(x, kernel, padding)
        return _by_patches(x, kernel, **shape)

    return jax.lax.platform_dependent(x, kernel, cpu=cpu, default=default)


def _taps(x, size, window_strides, padding, rhs_dilation):
    """The inputs that each of the K x K weights multiplies: [B, H', W', C], row by row of the kernel."""
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    reaches = [dilation * (size - 1) for dilation in rhs_dilation]
    rows, columns = ((x.shape[1 + i] - reaches[i] - 1) // window_strides[i] * window_strides[i] + 1 for i in (0, 1))
    for a in range(size):
        for b in range(size):
            i, j = a * rhs_dilation[0], b * rhs_dilation[1]
            yield x[:, i : i + rows : window_strides[0], j : j + columns : window_strides[1]]


def _by_taps(x, kernel, **shape):
    """One elementwise product for each weight: for as many groups as channels (depthwise)."""
    weights = kernel.reshape(-1, 1, 1, 1, kernel.shape[-1])
    return sum(tap * weight for tap, weight in zip(_taps(x, len(kernel), **shape), weights, strict=True))


def _by_patches(x, kernel, **shape):
    """One matrix product of all patches [.., K K C] and the kernel: for few channels."""
    patches = jnp.concatenate(list(_taps(x, len(kernel), **shape)), axis=-1)
    return jnp.dot(patches, kernel.reshape(-1, kernel.shape[-1]))


def _by_rows(x, kernel, padding):
    """One matrix product over whole rows and a band matrix for each row of the kernel: for two channels."""
    batch, height, width, _ = x.shape
    if width > height:  # short rows make small matrices
        return _by_rows(x.swapaxes(1, 2), kernel.swapaxes(0, 1), padding[::-1]).swapaxes(1, 2)
    size, features = len(kernel), kernel.shape[-1]
    out_height, out_width = (n + low + high - size + 1 for n, (low, high) in zip((height, width), padding, strict=True))
    x = jnp.pad(x.reshape(batch, height, -1), ((0, 0), padding[0], (0, 0)))
    rows = jnp.concatenate([x[:, a : a + out_height] for a in range(size)], axis=-1)
    offset = jnp.arange(width)[:, None] - jnp.arange(out_width)[None, :] + padding[1][0]
    band = (offset[None] == jnp.arange(size)[:, None, None]).astype(x.dtype)
    matrix = jnp.einsum("abcf,bij->aicjf", kernel, band).reshape(-1, out_width * features)
    return jnp.dot(rows, matrix).reshape(batch, out_height, out_width, features)


def _block_diagonal(kernel, groups):
    """The dense kernel [K, K, C, F] that is equivalent to a kernel [K, K, C / groups, F] of several groups."""
    rows, columns, inputs, outputs = kernel.shape
    blocks = kernel.reshape(rows, columns, inputs, groups, outputs // groups)
    dense = jnp.einsum("abigo,gh->abhigo", blocks, jnp.eye(groups, dtype=kernel.dtype))
    return dense.reshape(rows, columns, groups * inputs, outputs)
