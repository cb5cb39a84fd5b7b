"""Convolution, pooling and normalisation as this program needs them on each platform."""

import functools
import math
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxattn import winograd

FEW_CHANNELS = 8
FEW_TILES = 128
LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv_general_dilated(
    x: jax.Array, kernel: jax.Array, window_strides, padding, *, products=None, **options
) -> jax.Array:
    """`jax.lax.conv_general_dilated` for `nn.Conv`, by `conv_same` where that is what is asked for.

    Args:
        x: [B, H, W, Cin].
        kernel: [K, K, Cin, Cout].
        window_strides, padding, options: as `jax.lax.conv_general_dilated` takes them, without the layout.
        products: the type to multiply in, as `conv_same` takes it.
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    options = {**options, "dimension_numbers": LAYOUT}
    size = kernel.shape[0]
    same = tuple(window_strides) == (1, 1) and list(padding) == [(size // 2, size // 2)] * 2 and size % 2
    dilations = *(options.get("lhs_dilation") or ()), *(options.get("rhs_dilation") or ())
    plain = options.get("feature_group_count", 1) == 1 and set(dilations) <= {1}
    if same and plain and kernel.shape[1] == size:
        return conv_same(x, kernel, products)
    y = jax.lax.conv_general_dilated(*_cast(products, x, kernel), window_strides, padding, **options)
    return y.astype(x.dtype)


def _cast(products, *arrays):
    return [x.astype(products or x.dtype) for x in arrays]


def _rounded(products, *arrays):
    """The arrays as `products` would hold them, in their own type."""
    if products is None:
        return arrays
    info = jnp.finfo(products)
    return [jax.lax.reduce_precision(x, info.nexp, info.nmant) for x in arrays]


@functools.cache
def cpu_multiplies_bf16() -> bool:
    """Whether this machine's CPU has units for products of bfloat16 matrices (AMX); only Linux tells."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _narrow(products):
    """Whether a CPU is to be given narrow numbers; without units for them it takes far longer than for float32."""
    return products == jnp.bfloat16 and cpu_multiplies_bf16()


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def dot(x: jax.Array, kernel: jax.Array, products=None) -> jax.Array:
    """x [B, I] times kernel [I, O], in the type of x.

    The type of `products` is what x, kernel and, on the way back, dy are rounded to before they are multiplied; the
    sums keep the type of x. A CPU that has no units for bfloat16 multiplies the rounded numbers as float32, where
    their products are exact: that is the same, and far faster than what it would do with bfloat16.
    """
    return _product(x, kernel, products)


def _product(a, b, products):
    def narrow(a, b):
        return jnp.dot(*_cast(products, a, b), preferred_element_type=a.dtype)

    def rounded(a, b):
        return jnp.dot(*_rounded(products, a, b))

    return jax.lax.platform_dependent(a, b, cpu=narrow if _narrow(products) else rounded, default=narrow)


def _dot_forward(x, kernel, products):
    return dot(x, kernel, products), (x, kernel)


def _dot_backward(products, residuals, dy):
    x, kernel = residuals
    return _product(dy, kernel.T, products), _product(x.T, dy, products)


dot.defvjp(_dot_forward, _dot_backward)


def dot_general(x: jax.Array, kernel: jax.Array, dimensions, *, products=None, **options) -> jax.Array:
    """`jax.lax.dot_general` for `nn.Dense`: x [B, I], kernel [I, O]; by `dot` where `products` are of another type."""
    if products is None:
        return jax.lax.dot_general(x, kernel, dimensions, **options)
    return dot(x, kernel, products)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv_same(x: jax.Array, kernel: jax.Array, products=None) -> jax.Array:
    """Convolution with stride 1 that keeps H and W: x [B, H, W, Cin], kernel [K, K, Cin, Cout], K odd.

    `products` is the type to multiply in, where not that of x: what `dot` says holds here too. GPU and TPU sum in
    float32 and round each sum to that type once; what flows between layers has the type of x.

    Elsewhere than on a CPU it is `lax.conv`. There it is

    * `winograd` where the kernel is 3x3, H and W multiples of 4, tiles enough for matrices, numbers float32 or wider,
      and channels not few;
    * a product of matrices for few channels (a picture): windows [B H W / R, K (R + K - 1) Cin] of R = 4 outputs in a
      row, times a band of the kernel. That is twice the arithmetic of R = 1 on a quarter of the rows, which a CPU does
      in the same time, and half the bytes to copy;
    * `lax.conv` for the rest, and a product of windows with R = 1 for the gradient of their kernel;
    * products of windows throughout, where the CPU has units for bfloat16 and `products` are of it.
    """
    cpu, default = (functools.partial(form, products=products) for form in (_conv_cpu, _conv))
    return jax.lax.platform_dependent(x, kernel, cpu=cpu, default=default)


def _conv(x, kernel, products=None):
    y = jax.lax.conv_general_dilated(*_cast(products, x, kernel), (1, 1), "SAME", dimension_numbers=LAYOUT)
    return y.astype(x.dtype)


def _conv_cpu(x, kernel, products):
    if _narrow(products):
        return _conv_windows(*_cast(products, x, kernel), x.dtype)
    x, kernel = _rounded(products, x, kernel)
    if _suits_winograd(x, kernel):
        return winograd.convolve(x, kernel)
    if x.shape[-1] >= FEW_CHANNELS:
        return _conv(x, kernel)
    return _conv_windows(x, kernel, x.dtype)


def _conv_windows(x, kernel, sums):
    run = _run(x)
    y = jnp.dot(_windows(x, len(kernel), run), _band(kernel, run), preferred_element_type=sums)
    return y.reshape(*x.shape[:3], -1)


def _kernel_gradient(x, kernel, dy, sums):
    run = _run(x)
    windows = _windows(x, len(kernel), run)
    dband = jnp.dot(windows.T, dy.reshape(-1, run * dy.shape[-1]), preferred_element_type=sums)
    kernel = kernel.astype(sums)
    return jax.linear_transpose(functools.partial(_band, run=run), kernel)(dband)[0]


def _suits_winograd(x, kernel):
    batch, height, width, channels = x.shape
    whole = len(kernel) == winograd.SIZE and height % winograd.TILE == width % winograd.TILE == 0
    enough = batch * height * width >= FEW_TILES * winograd.TILE**2
    return whole and enough and channels >= FEW_CHANNELS and jnp.finfo(x.dtype).bits >= 32


def _run(x):
    """Outputs in a row that one window serves."""
    return 4 if x.shape[-1] < FEW_CHANNELS and x.shape[2] % 4 == 0 else 1


def _windows(x, size, run):
    """What each `run` outputs in a row meet: [B H W / run, K (run + K - 1) C], ordered as a band's rows are."""
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
    """The kernel [K, K, C, F] at each of `run` places in a row: [K (run + K - 1) C, run F]."""
    moved = [jnp.pad(kernel, ((0, 0), (i, run - 1 - i), (0, 0), (0, 0))) for i in range(run)]
    return jnp.stack(moved, axis=3).reshape(-1, run * kernel.shape[-1])


def _conv_forward(x, kernel, products):
    return conv_same(x, kernel, products), (x, kernel)


def _conv_backward(products, residuals, dy):
    def plain(x, kernel, dy):
        return jax.vjp(functools.partial(_conv, products=products), x, kernel)[1](dy)

    def cpu(x, kernel, dy):
        sums = x.dtype
        if _narrow(products):
            x, kernel, dy = _cast(products, x, kernel, dy)
            dx = _conv_windows(dy, kernel[::-1, ::-1].swapaxes(2, 3), sums)
            return dx, _kernel_gradient(x, kernel, dy, sums)
        x, kernel, dy = _rounded(products, x, kernel, dy)
        if _suits_winograd(x, kernel):
            return winograd.gradients(x, kernel, dy)
        dx = jax.vjp(lambda x: _conv(x, kernel), x)[1](dy)[0]
        return dx, _kernel_gradient(x, kernel, dy, sums)

    return jax.lax.platform_dependent(*residuals, dy, cpu=cpu, default=plain)


conv_same.defvjp(_conv_forward, _conv_backward)


def max_pool_2x2(x: jax.Array) -> jax.Array:
    """Largest of each 2x2 window, stride 2: [B, H, W, C] to [B, H // 2, W // 2, C]; an odd last row or column is cut.

    The gradient goes to the window's first largest value, row by row, as PyTorch's does. It is written out: on a
    2-core CPU that of `reduce_window` took ten times as long, and that of `max` over a reshape divides by the number
    of values that equal the largest, which is 0 where XLA computes them anew with other rounding.
    """
    return _max_pool_even(_even(x))


def gated_max_pool_2x2(x: jax.Array, gate: jax.Array) -> jax.Array:
    """`max_pool_2x2(x * gate)` of x [B, H, W, C] and a gate that broadcasts to it.

    Of a gate by channel, [B, 1, 1, C], the gradient is the sum over windows, not over places, of dy times the value
    that was chosen: on a 2-core CPU squeeze-and-excitation then adds 2 ms to a step instead of 5.
    """
    gate = gate.astype(x.dtype)
    if gate.shape[1:3] != (1, 1):
        return max_pool_2x2(x * gate)
    return _gated_max_pool_even(_even(x), gate)


def _even(x):
    _, height, width, _ = x.shape
    return x[:, : height // 2 * 2, : width // 2 * 2]


def _corners(x):
    batch, height, width, channels = x.shape
    windows = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return [windows[:, :, i, :, j] for i in (0, 1) for j in (0, 1)]


@jax.custom_vjp
def _max_pool_even(x):
    return _max_pool_forward(x)[0]


def _max_pool_forward(x):
    a, b, c, d = _corners(x)
    top, bottom = jnp.maximum(a, b), jnp.maximum(c, d)
    return jnp.maximum(top, bottom), (a >= b, c >= d, top >= bottom)


def _max_pool_backward(residuals, dy):
    left_of_top, left_of_bottom, is_top = residuals
    top, bottom = jnp.where(is_top, dy, 0), jnp.where(is_top, 0, dy)
    rows = [
        jnp.stack([jnp.where(is_left, row, 0), jnp.where(is_left, 0, row)], axis=3)
        for is_left, row in ((left_of_top, top), (left_of_bottom, bottom))
    ]
    batch, height, width, channels = dy.shape
    return (jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, channels),)


_max_pool_even.defvjp(_max_pool_forward, _max_pool_backward)


@jax.custom_vjp
def _gated_max_pool_even(x, gate):
    return _max_pool_even(x * gate)


def _gated_max_pool_forward(x, gate):
    y, places = _max_pool_forward(x * gate)
    left_of_top, left_of_bottom, is_top = places
    a, b, c, d = _corners(x)
    chosen = jnp.where(is_top, jnp.where(left_of_top, a, b), jnp.where(left_of_bottom, c, d))
    return y, (places, chosen, gate)


def _gated_max_pool_backward(residuals, dy):
    places, chosen, gate = residuals
    dgate = jnp.sum(dy * chosen, axis=[i for i in range(4) if gate.shape[i] == 1], keepdims=True)
    return *_max_pool_backward(places, dy * gate), dgate


_gated_max_pool_even.defvjp(_gated_max_pool_forward, _gated_max_pool_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def largest(x: jax.Array, axis: tuple[int, ...]) -> jax.Array:
    """Largest values of x along axes, counted from 0, that stay with length 1.

    The gradient goes to the first largest value, as that of PyTorch's pools does. `jnp.max` divides it among all by
    their number, which is 0, and the gradient NaN, where XLA computes x anew with other rounding.
    """
    return jnp.max(x, axis, keepdims=True)


def _largest_forward(x, axis):
    y = largest(x, axis)
    shape = [n if i in axis else 1 for i, n in enumerate(x.shape)]
    places = jnp.arange(math.prod(shape)).reshape(shape)
    return y, (jnp.min(jnp.where(x >= y, places, places.size), axis, keepdims=True), places)


def _largest_backward(_, residuals, dy):
    first, places = residuals
    return (jnp.where(places == first, dy, 0),)


largest.defvjp(_largest_forward, _largest_backward)


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
