"""Winograd convolution F(4x4, 3x3): a 3x3 convolution with a quarter of the multiplications.

A map is cut into tiles of 4x4 outputs, which need 6x6 inputs. Small fixed matrices transform the input tiles, the
kernel and the output tiles along rows and columns. Between the transforms, the convolution is one matrix product
[tiles, Cin] [Cin, Cout] at each of the tile's 36 positions: 36 multiplications for 16 outputs instead of 144. The
positions are kept as six arrays, one for each row of the tile, whose products are independent and run in parallel.

Each transform has two steps, along one axis and then along the other, and each step handles all its rows in one loop;
the result between them is materialised (`_barrier`). That takes far less arithmetic than if XLA fuses the two steps,
and a tenth of the XLA computations that would be compiled with one for each position.

Intermediate values grow by factors of up to 25 and 64 and cancel again, so float32 results are off by about 1e-5 of the
maximum (a direct convolution: 1e-6). Training does not suffer from that; in bfloat16 it would.

Source: arXiv:1509.09308, section 4.3; matrices for the points 0, 1, -1, 2, -2 and infinity.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

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

_barrier = jax.lax.optimization_barrier


def convolve(x: Float[Array, "B H W Cin"], kernel: Float[Array, "3 3 Cin Cout"]) -> Float[Array, "B H W Cout"]:
    """Convolution with stride 1 that keeps H and W, both multiples of 4: x [B, H, W, Cin], kernel [3, 3, Cin, Cout].

    Source: arXiv:1509.09308, section 4.3.
    """
    products = _matrix_products(_from_input(x), _from_kernel(kernel), (2, 1))
    return _to_output(products, x.shape)


def gradients(
    x: Float[Array, "B H W Cin"], kernel: Float[Array, "3 3 Cin Cout"], dy: Float[Array, "B H W Cout"]
) -> tuple[Float[Array, "B H W Cin"], Float[Array, "3 3 Cin Cout"]]:
    """Gradients of `convolve` with respect to x [B, H, W, Cin] and kernel [3, 3, Cin, Cout], for dy [B, H, W, Cout].

    The input tiles are those of the forward pass: in one program XLA computes them once.

    Source: arXiv:1509.09308, section 4.3; each transform's transpose.
    """
    inputs, kernels, outputs = _from_input(x), _from_kernel(kernel), _from_output(dy)
    dinputs, dkernels = _matrix_products(outputs, kernels, (2, 2)), _matrix_products(inputs, outputs, (1, 1))
    dx = _barrier(_to_input(dinputs, x.shape))  # the pool before reads each value at four positions
    return dx, _to_kernel(dkernels)


def _matrix_products(left: Rows, right: Rows, axes) -> Rows:
    """Matrix products at each position, contracting one axis of the left with one of the right."""
    dimensions = ((axes[0],), (axes[1],)), ((0,), (0,))
    return [jax.lax.dot_general(a, b, dimensions) for a, b in zip(left, right, strict=True)]


def _transform(matrix, parts, axis):
    """The product of a constant matrix and a column of arrays, along a new axis."""
    shape = [-1 if i == axis else 1 for i in range(parts[0].ndim + 1)]
    return sum(
        column.astype(part.dtype).reshape(shape) * jnp.expand_dims(part, axis)
        for column, part in zip(matrix.T, parts, strict=True)
    )


def _from_input(x) -> Rows:
    _, height, width, channels = x.shape
    x = _barrier(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))
    rows = _barrier(_transform(_INPUT, [x[:, i : i + height - 3 : TILE] for i in range(6)], 0))
    return [
        _transform(_INPUT, [row[:, :, i : i + width - 3 : TILE] for i in range(6)], 0).reshape(6, -1, channels)
        for row in rows
    ]


def _to_input(rows: Rows, shape):
    """The transpose of `_from_input`."""
    batch, height, width, channels = shape
    grid = (6, batch, height // TILE, width // TILE, channels)
    columns = _barrier(_add_overlapping([row.reshape(grid) for row in rows], 2))
    return _add_overlapping(list(columns), 2)


def _add_overlapping(parts, axis):
    """Six arrays transformed to six lines, which are placed four apart along an axis and added up: overlap-add.

    A tile's first line falls on the last line of the tile before, its sixth on the first of the tile after.
    """

    def shifted(part, by):
        part = jax.lax.slice_in_dim(part, max(-by, 0), part.shape[axis] - max(by, 0), axis=axis)
        return jnp.pad(part, [(max(by, 0), max(-by, 0)) if i == axis else (0, 0) for i in range(part.ndim)])

    first, *inner, sixth = _INPUT.T
    neighbours = np.zeros((TILE, 2))
    neighbours[-1, 0], neighbours[0, 1] = first[0], sixth[5]  # the rest of both is 0
    parts = [*parts, *_barrier((shifted(parts[0], -1), shifted(parts[5], 1)))]
    lines = _transform(np.hstack([inner, neighbours]), parts, axis + 1)
    shape = list(parts[0].shape)
    shape[axis] *= TILE
    return lines.reshape(shape)


def _from_kernel(kernel) -> Rows:
    rows = _transform(_KERNEL, list(kernel), 0)
    return [_transform(_KERNEL, list(row), 0) for row in rows]


def _to_kernel(rows: Rows):
    """The transpose of `_from_kernel`."""
    columns = _barrier(_transform(_KERNEL.T, rows, 0))
    return _transform(_KERNEL.T, [columns[:, i] for i in range(6)], 1)


def _to_output(rows: Rows, shape):
    batch, height, width, _ = shape
    rows = [row.reshape(6, batch, height // TILE, width // TILE, -1) for row in rows]
    columns = _barrier(_transform(_OUTPUT, rows, 3))
    return _transform(_OUTPUT, list(columns), 4).reshape(batch, height, width, -1)


def _from_output(dy) -> Rows:
    """The transpose of `_to_output`."""
    channels = dy.shape[-1]
    dy = _barrier(dy)  # otherwise each loop that reads it would recompute it
    rows = _barrier(_transform(_OUTPUT.T, [dy[:, i::TILE] for i in range(TILE)], 0))
    return [
        _transform(_OUTPUT.T, [row[:, :, i::TILE] for i in range(TILE)], 0).reshape(6, -1, channels) for row in rows
    ]
