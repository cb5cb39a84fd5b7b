"""Dense products with a compute dtype."""

import functools

import jax
from jax import Array
from jaxtyping import Float

from jaxattn.layers.compute_dtype import ComputeDtype, cast


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def dot(x: Float[Array, "B I"], kernel: Float[Array, "I O"], compute_dtype: ComputeDtype = None) -> Float[Array, "B O"]:
    """The product of x [B, I] and kernel [I, O], in the type of x.

    x, kernel and, in the backward pass, dy are rounded to the compute dtype (see `compute_dtype`) before they are
    multiplied; sums keep the type of x.
    """
    return _product(x, kernel, (1, 0), compute_dtype)


def _product(a, b, contracted, compute_dtype):
    """The product of two matrices over one axis of each, without transposes, which an accelerator might materialise."""
    dimensions = (((contracted[0],), (contracted[1],)), ((), ()))

    def rounded(a, b):
        return jax.lax.dot_general(*cast(compute_dtype, a, b), dimensions, preferred_element_type=a.dtype)

    def plain(a, b):
        return jax.lax.dot_general(a, b, dimensions)

    return jax.lax.platform_dependent(a, b, cpu=plain, default=rounded)


def _dot_forward(x, kernel, compute_dtype):
    return dot(x, kernel, compute_dtype), (x, kernel)


def _dot_backward(compute_dtype, residuals, dy):
    x, kernel = residuals
    return _product(dy, kernel, (1, 1), compute_dtype), _product(x, dy, (0, 0), compute_dtype)


dot.defvjp(_dot_forward, _dot_backward)


def dot_general(
    x: Float[Array, "B I"], kernel: Float[Array, "I O"], dimensions, *, compute_dtype: ComputeDtype = None, **options
) -> Float[Array, "B O"]:
    """`jax.lax.dot_general` of x [B, I] and kernel [I, O] for `nn.Dense`; it uses `dot` if a compute dtype is given."""
    if compute_dtype is None:
        return jax.lax.dot_general(x, kernel, dimensions, **options)
    return dot(x, kernel, compute_dtype)
