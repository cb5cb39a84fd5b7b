"""3x3 convolution with a quarter of the multiplications: minimal filtering F(4x4, 3x3).

A map is cut into tiles of 4x4 outputs, which need 6x6 inputs. Those, the kernel and the outputs are each taken by a
small fixed matrix along rows and columns to a place where the convolution is a product at each of the 36 positions of
the tile: 36 products of matrices [tiles, Cin] [Cin, Cout], 36 multiplications for 16 outputs instead of 144. They are
independent, so that they run at once.

Numbers grow on the way, by factors of up to 25 and 64, and cancel again, so float32 results are off by about 1e-5 of
the largest (a direct convolution: 1e-6), which training does not notice; it would notice what bfloat16 makes of them.

Source: arXiv:1509.09308, section 4.3; matrices for the points 0, 1, -1, 2, -2 and infinity.
"""

import jax
import jax.numpy as jnp

TILE = 4
SIZE = 3

_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))

Tiles = list[list[jax.Array]]  # 6 x 6 positions of a tile, each [tiles, C]


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution with stride 1 that keeps H and W, both multiples of 4: x [B, H, W, Cin], kernel [3, 3, Cin, Cout]."""
    products = _zip(jnp.dot, _from_input(x), _from_kernel(kernel))
    return _to_output(products, x.shape)


def gradients(x: jax.Array, kernel: jax.Array, dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gradients of `convolve` by x and by kernel, for dy [B, H, W, Cout].

    The input's tiles are those of the forward pass: in one program XLA computes them once.
    """
    inputs, kernels, outputs = _from_input(x), _from_kernel(kernel), _from_output(dy)
    dkernels = _zip(lambda tiles, dtiles: tiles.T @ dtiles, inputs, outputs)
    dinputs = _zip(lambda dtiles, kernel: dtiles @ kernel.T, outputs, kernels)
    return _to_input(dinputs, x.shape), _to_kernel(dkernels)


def _zip(function, left: Tiles, right: Tiles) -> Tiles:
    return [[function(a, b) for a, b in zip(*rows, strict=True)] for rows in zip(left, right, strict=True)]


def _mix(matrix, parts):
    """The product of a matrix of numbers and a column of arrays."""
    return [sum(factor * part for factor, part in zip(row, parts, strict=True) if factor) for row in matrix]


def _transposed(matrix):
    return tuple(zip(*matrix, strict=True))


def _from_input(x) -> Tiles:
    _, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = _mix(_INPUT, [x[:, i : i + height - 3 : TILE] for i in range(6)])
    return [
        [part.reshape(-1, channels) for part in _mix(_INPUT, [row[:, :, i : i + width - 3 : TILE] for i in range(6)])]
        for row in rows
    ]


def _to_input(tiles: Tiles, shape):
    """The transpose of `_from_input`."""
    batch, height, width, channels = shape
    places = (batch, height // TILE, width // TILE, channels)
    matrix = _transposed(_INPUT)
    rows = [_overlaid(_mix(matrix, [part.reshape(places) for part in row]), 2) for row in tiles]
    return _overlaid(_mix(matrix, rows), 1)


def _overlaid(parts, axis):
    """Six arrays put down four apart and added, without the first and last line: the transpose of taking tiles."""
    last = parts[0].shape[axis]

    def moved(part, by):
        part = jax.lax.slice_in_dim(part, max(-by, 0), last - max(by, 0), axis=axis)
        return jnp.pad(part, [(max(by, 0), max(-by, 0)) if i == axis else (0, 0) for i in range(part.ndim)])

    first, second, third, fourth = parts[1:5]
    return _interleaved([first + moved(parts[5], 1), second, third, fourth + moved(parts[0], -1)], axis)


def _interleaved(parts, axis):
    """Four arrays [.., n, ..] as one [.., 4 n, ..], element by element in turn.

    Each is written out before: XLA would otherwise choose among all that made them anew for every number.
    """
    stacked = jnp.stack(jax.lax.optimization_barrier(parts), axis + 1)
    shape = list(parts[0].shape)
    shape[axis] *= len(parts)
    return stacked.reshape(shape)


def _from_kernel(kernel) -> Tiles:
    return [_mix(_KERNEL, list(row)) for row in _mix(_KERNEL, list(kernel))]


def _to_kernel(tiles: Tiles):
    """The transpose of `_from_kernel`."""
    matrix = _transposed(_KERNEL)
    return jnp.stack(_mix(matrix, [jnp.stack(_mix(matrix, row)) for row in tiles]))


def _to_output(tiles: Tiles, shape):
    places = (shape[0], shape[1] // TILE, shape[2] // TILE, -1)
    rows = [_mix(_OUTPUT, list(column)) for column in zip(*tiles, strict=True)]
    lines = [[part.reshape(places) for part in _mix(_OUTPUT, list(parts))] for parts in zip(*rows, strict=True)]
    return _interleaved([_interleaved(line, 2) for line in lines], 1)


def _from_output(dy) -> Tiles:
    """The transpose of `_to_output`."""
    matrix, channels = _transposed(_OUTPUT), dy.shape[-1]
    rows = _mix(matrix, [dy[:, i::TILE] for i in range(TILE)])
    return [
        [part.reshape(-1, channels) for part in _mix(matrix, [row[:, :, i::TILE] for i in range(TILE)])] for row in rows
    ]
