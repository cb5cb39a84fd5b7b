"""Convolution as each platform runs it best: `lax.conv` on accelerators, Winograd and matrix products on CPUs."""

import functools

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from jaxattn.layers import winograd
from jaxattn.layers.compute_dtype import ComputeDtype, cast

FEW_CHANNELS = 8
FEW_TILES = 128
LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv_general_dilated(
    x: Float[Array, "B H W Cin"],
    kernel: Float[Array, "Kh Kw Cg Cout"],
    window_strides,
    padding,
    *,
    compute_dtype: ComputeDtype = None,
    **options,
) -> Float[Array, "B H2 W2 Cout"]:
    """`jax.lax.conv_general_dilated` for `nn.Conv`; it uses `conv_same` where that computes the same.

    Args:
        x: [B, H, W, Cin].
        kernel: [K, K, Cin / groups, Cout].
        window_strides, padding, options: as `jax.lax.conv_general_dilated` takes them, without the layout.
        compute_dtype: see `conv_same`.

    Returns:
        [B, H', W', Cout], in the type of x.
    """
    options = {**options, "dimension_numbers": LAYOUT}
    size = kernel.shape[0]
    same = tuple(window_strides) == (1, 1) and list(padding) == [(size // 2, size // 2)] * 2 and size % 2
    if same and kernel.shape[1] == size and is_plain(options):
        return conv_same(x, kernel, compute_dtype)
    form = functools.partial(_conv, strides=window_strides, padding=padding, **options)
    has_strides = max(window_strides) > 1 and not isinstance(padding, str)
    if has_strides and is_plain(options) and x.shape[-1] >= FEW_CHANNELS:
        strided = tuple(window_strides), tuple(map(tuple, padding))
        default = functools.partial(form, compute_dtype=compute_dtype)
        return jax.lax.platform_dependent(x, kernel, cpu=functools.partial(_strided, *strided), default=default)
    return jax.lax.platform_dependent(x, kernel, cpu=form, default=functools.partial(form, compute_dtype=compute_dtype))


def is_plain(options: dict) -> bool:
    """Whether options of `jax.lax.conv_general_dilated` ask for one group, no dilation and no special precision."""
    dilations = *(options.get("lhs_dilation") or ()), *(options.get("rhs_dilation") or ())
    special = [options.get(name) for name in ("precision", "preferred_element_type")]
    groups = options.get("feature_group_count", 1), options.get("batch_group_count", 1)
    return groups == (1, 1) and set(dilations) <= {1} and special == [None, None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv_same(
    x: Float[Array, "B H W Cin"], kernel: Float[Array, "K K Cin Cout"], compute_dtype: ComputeDtype = None
) -> Float[Array, "B H W Cout"]:
    """Convolution with stride 1 that keeps H and W: x [B, H, W, Cin], kernel [K, K, Cin, Cout], K odd.

    Operands, including dy in the backward pass, are rounded to the compute dtype (see `compute_dtype`). GPU and TPU
    accumulate in float32 and round each finished sum to it once; activations between layers have the type of x.

    On accelerators it is `lax.conv`. On a CPU it is

    * `winograd` if the kernel is 3x3, there are enough tiles for matrix products, the type is float32 or wider, and
      there are not too few channels; H and W are padded with zeros to multiples of 4;
    * a matrix product for few channels (an image): windows [B H W / R, K (R + K - 1) Cin] of R = 4 outputs in a row,
      times a band of the kernel. That is twice the arithmetic of R = 1 on a quarter of the rows, which a CPU does in
      the same time, and half the bytes to copy;
    * `lax.conv` for the rest, and a matrix product with R = 1 for the gradient of its kernel.
    """
    default = functools.partial(_conv, compute_dtype=compute_dtype)
    return jax.lax.platform_dependent(x, kernel, cpu=_conv_cpu, default=default)


def _conv(x, kernel, compute_dtype=None, strides=(1, 1), padding="SAME", dimension_numbers=LAYOUT, **options):
    operands = cast(compute_dtype, x, kernel)
    y = jax.lax.conv_general_dilated(*operands, strides, padding, dimension_numbers=dimension_numbers, **options)
    return y.astype(x.dtype)


def _conv_cpu(x, kernel):
    if _suits_winograd(x, kernel):
        return winograd.convolve(_filled(x), kernel)[:, : x.shape[1], : x.shape[2]]
    if x.shape[-1] >= FEW_CHANNELS:
        return _conv(x, kernel)
    run = _run(x)
    return (_windows(x, len(kernel), run) @ _band(kernel, run)).reshape(*x.shape[:3], -1)


def _kernel_gradient(x, kernel, dy):
    run = _run(x)
    dband = _windows(x, len(kernel), run).T @ dy.reshape(-1, run * dy.shape[-1])
    return jax.linear_transpose(functools.partial(_band, run=run), kernel)(dband)[0]


def _suits_winograd(x, kernel):
    batch, height, width, channels = x.shape
    if not isinstance(batch, int):  # symbolic, in an exported program: the number of tiles is unknown
        return False
    is_3x3 = len(kernel) == winograd.SIZE and min(height, width) >= winograd.TILE - 1
    enough = batch * height * width >= FEW_TILES * winograd.TILE**2
    return is_3x3 and enough and channels >= FEW_CHANNELS and jnp.finfo(x.dtype).bits >= 32


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _strided(strides, padding, x, kernel):
    """A strided convolution whose gradients are matrix products.

    XLA's own gradient of the kernel would transpose whole maps, and that of x multiply by zeros between dy's rows.
    """
    return _conv(x, kernel, strides=strides, padding=padding)


def _strided_forward(strides, padding, x, kernel):
    return _strided(strides, padding, x, kernel), (x, kernel)


def _strided_backward(strides, padding, residuals, dy):
    x, kernel = residuals
    windows_of = functools.partial(
        _strided_windows, size=kernel.shape[:2], strides=strides, padding=padding, output=dy.shape[1:3]
    )
    dy, matrix = dy.reshape(-1, dy.shape[-1]), kernel.reshape(-1, kernel.shape[-1])
    (dx,) = jax.linear_transpose(windows_of, x)(dy @ matrix.T)
    return dx, (windows_of(x).T @ dy).reshape(kernel.shape)


def _strided_windows(x, size, strides, padding, output):
    """The inputs of each output [H, W], with these strides: [B H W, K K C], in the order of a kernel's rows.

    The map is cut into cells of a stride's size, since strided slices are slow.
    """
    (down, across), (rows, columns) = strides, output
    cells = [length + (side - 1) // step for length, side, step in zip(output, size, strides, strict=True)]
    fill = [
        (before, cell * step - before - length)
        for (before, _), cell, step, length in zip(padding, cells, strides, x.shape[1:3], strict=True)
    ]
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *((a, b, 0) for a, b in fill), (0, 0, 0)))
    x = x.reshape(len(x), cells[0], down, cells[1], across, x.shape[-1])
    places = [
        x[:, i // down : i // down + rows, i % down, j // across : j // across + columns, j % across]
        for i in range(size[0])
        for j in range(size[1])
    ]
    return jnp.concatenate(places, axis=-1).reshape(len(x) * rows * columns, -1)


_strided.defvjp(_strided_forward, _strided_backward)


def _filled(x):
    """x [B, H, W, C], padded with zeros below and to the right to multiples of a tile."""
    fill = [(0, -side % winograd.TILE) if axis in (1, 2) else (0, 0) for axis, side in enumerate(x.shape)]
    return jnp.pad(x, fill) if any(after for _, after in fill) else x


def _run(x):
    """How many consecutive outputs of a row share one window."""
    return 4 if x.shape[-1] < FEW_CHANNELS and x.shape[2] % 4 == 0 else 1


def _windows(x, size, run):
    """The inputs of `run` consecutive outputs each: [B H W / run, K (run + K - 1) C], in the order of a band's rows."""
    batch, height, width, channels = x.shape
    edge, reach = size // 2, run + size - 1
    starts = range(0, reach, run)
    groups = width // run + len(starts) - 1
    x = jnp.pad(x, ((0, 0), (edge, edge), (edge, groups * run - width - edge), (0, 0)))
    x = x.reshape(batch, height + 2 * edge, groups, run * channels)
    parts = [x[:, :, i : i + width // run, : (reach - start) * channels] for i, start in enumerate(starts)]
    rows = jnp.concatenate(parts, axis=-1)
    rows = jnp.concatenate([rows[:, i : i + height] for i in range(size)], axis=-1)
    return rows.reshape(-1, size * reach * channels)


def _band(kernel, run):
    """The kernel [K, K, C, F] at each of `run` consecutive positions: [K (run + K - 1) C, run F]."""
    moved = [jnp.pad(kernel, ((0, 0), (i, run - 1 - i), (0, 0), (0, 0))) for i in range(run)]
    return jnp.stack(moved, axis=3).reshape(-1, run * kernel.shape[-1])


def _conv_forward(x, kernel, compute_dtype):
    return conv_same(x, kernel, compute_dtype), (x, kernel)


def _conv_backward(compute_dtype, residuals, dy):
    default = functools.partial(_gradients, compute_dtype=compute_dtype)
    return jax.lax.platform_dependent(*residuals, dy, cpu=_gradients_cpu, default=default)


def _gradients(x, kernel, dy, compute_dtype):
    return jax.vjp(functools.partial(_conv, compute_dtype=compute_dtype), x, kernel)[1](dy)


def _gradients_cpu(x, kernel, dy):
    if _suits_winograd(x, kernel):
        dx, dkernel = winograd.gradients(_filled(x), kernel, _filled(dy))
        return dx[:, : x.shape[1], : x.shape[2]], dkernel
    dx = jax.vjp(lambda x: _conv(x, kernel), x)[1](dy)[0]
    return dx, _kernel_gradient(x, kernel, dy)


conv_same.defvjp(_conv_forward, _conv_backward)
