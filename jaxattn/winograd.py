"""3x3 convolution with a quarter of the multiplications: minimal filtering F(4x4, 3x3).

A map is cut into tiles of 4x4 outputs, which need 6x6 inputs. Those, the kernel and the outputs are each taken by a
small fixed matrix along rows and columns to a place where the convolution is a product at each of the 36 positions of
the tile: 36 products of matrices [tiles, Cin] [Cin, Cout], 36 multiplications for 16 outputs instead of 144. They are
kept as six arrays, a row of positions each, whose products are independent and run at once.

Each matrix is applied in two steps, along one axis and then the other, and each step to all its rows in one loop; what
lies between is written out (`_apart`). That is far less arithmetic than XLA does when it joins the two, and a tenth of
the kernels to compile that one for each position would make.

Numbers grow on the way, by factors of up to 25 and 64, and cancel again, so float32 results are off by about 1e-5 of
the largest (a direct convolution: 1e-6), which training does not notice; it would notice what bfloat16 makes of them.

Source: arXiv:1509.09308, section 4.3; matrices for the points 0, 1, -1, 2, -2 and infinity.
"""

import jax
import jax.numpy as jnp
import numpy as np

TILE = 4
SIZE = 3

_INPUT = np.array(
    (
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    )
)
_KERNEL = np.array(
    (
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    )
)
_OUTPUT = np.array(((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)))

Rows = list[jax.Array]  # the tile's 6 rows of positions, each [6, tiles, C]; of a kernel [6, Cin, Cout]

_apart = jax.lax.optimization_barrier


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution with stride 1 that keeps H and W, both multiples of 4: x [B, H, W, Cin], kernel [3, 3, Cin, Cout]."""
    products = _products(_from_input(x), _from_kernel(kernel), (2, 1))
    return _to_output(products, x.shape)


def gradients(x: jax.Array, kernel: jax.Array, dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gradients of `convolve` by x and by kernel, for dy [B, H, W, Cout].

    The input's tiles are those of the forward pass: in one program XLA computes them once.
    """
    inputs, kernels, outputs = _from_input(x), _from_kernel(kernel), _from_output(dy)
    dinputs, dkernels = _products(outputs, kernels, (2, 2)), _products(inputs, outputs, (1, 1))
    return _to_input(dinputs, x.shape), _to_kernel(dkernels)


def _products(left: Rows, right: Rows, axes) -> Rows:
    """Products at each position, summed over an axis of the left and one of the right."""
    dimensions = tuple((axis,) for axis in axes), ((0,), (0,))
    return [jax.lax.dot_general(a, b, dimensions) for a, b in zip(left, right, strict=True)]


def _mix(matrix, parts, axis):
    """The product of a matrix of numbers and a column of arrays, along a new axis."""
    shape = [-1 if i == axis else 1 for i in range(parts[0].ndim + 1)]
    return sum(
        column.astype(part.dtype).reshape(shape) * jnp.expand_dims(part, axis)
        for column, part in zip(matrix.T, parts, strict=True)
    )


def _from_input(x) -> Rows:
    _, height, width, channels = x.shape
    x = _apart(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))
    rows = _apart(_mix(_INPUT, [x[:, i : i + height - 3 : TILE] for i in range(6)], 0))
    return [
        _mix(_INPUT, [row[:, :, i : i + width - 3 : TILE] for i in range(6)], 0).reshape(6, -1, channels)
        for row in rows
    ]


def _to_input(rows: Rows, shape):
    """The transpose of `_from_input`."""
    batch, height, width, channels = shape
    places = (6, batch, height // TILE, width // TILE, channels)
    columns = _apart(_overlaid([row.reshape(places) for row in rows], 2))
    return _overlaid(list(columns), 2)


def _overlaid(parts, axis):
    """Six arrays mixed to six lines, put down four apart along an axis and added: the transpose of cutting and mixing.

    Of a tile's lines the first falls on the last of the tile before, the sixth on the first of the tile after.
    """

    def moved(part, by):
        part = jax.lax.slice_in_dim(part, max(-by, 0), part.shape[axis] - max(by, 0), axis=axis)
        return jnp.pad(part, [(max(by, 0), max(-by, 0)) if i == axis else (0, 0) for i in range(part.ndim)])

    first, *inner, sixth = _INPUT.T
    neighbours = np.zeros((TILE, 2))
    neighbours[-1, 0], neighbours[0, 1] = first[0], sixth[5]  # the rest of both is 0
    parts = [*parts, *_apart((moved(parts[0], -1), moved(parts[5], 1)))]
    lines = _mix(np.hstack([inner, neighbours]), parts, axis + 1)
    shape = list(parts[0].shape)
    shape[axis] *= TILE
    return lines.reshape(shape)


def _from_kernel(kernel) -> Rows:
    rows = _mix(_KERNEL, list(kernel), 0)
    return [_mix(_KERNEL, list(row), 0) for row in rows]


def _to_kernel(rows: Rows):
    """The transpose of `_from_kernel`."""
    columns = _apart(_mix(_KERNEL.T, rows, 0))
    return _mix(_KERNEL.T, [columns[:, i] for i in range(6)], 1)


def _to_output(rows: Rows, shape):
    batch, height, width, _ = shape
    rows = [row.reshape(6, batch, height // TILE, width // TILE, -1) for row in rows]
    columns = _apart(_mix(_OUTPUT, rows, 3))
    return _mix(_OUTPUT, list(columns), 4).reshape(batch, height, width, -1)


def _from_output(dy) -> Rows:
    """The transpose of `_to_output`."""
    channels = dy.shape[-1]
    rows = _apart(_mix(_OUTPUT.T, [dy[:, i::TILE] for i in range(TILE)], 0))
    return [_mix(_OUTPUT.T, [row[:, :, i::TILE] for i in range(TILE)], 0).reshape(6, -1, channels) for row in rows]
