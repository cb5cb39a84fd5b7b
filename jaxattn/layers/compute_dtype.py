"""The compute dtype: what operands are rounded to before they are multiplied, while sums keep their own type."""

import jax
import jax.numpy as jnp

from jaxattn import runtime

ComputeDtype = jax.typing.DTypeLike | None  # None: the operands' own type


def cast(compute_dtype: ComputeDtype, *arrays: jax.Array) -> list[jax.Array]:
    """The arrays [...] in the compute dtype."""
    return [x.astype(x.dtype if compute_dtype is None else compute_dtype) for x in arrays]


def rounded(compute_dtype: ComputeDtype, *arrays: jax.Array) -> list[jax.Array]:
    """The arrays [...] rounded to the compute dtype, but stored in their own type."""
    if compute_dtype is None:
        return list(arrays)
    info = jnp.finfo(compute_dtype)
    return [jax.lax.reduce_precision(x, info.nexp, info.nmant) for x in arrays]


def is_native(compute_dtype: ComputeDtype) -> bool:
    """Whether this CPU has units for products in the compute dtype; without them such products are far slower."""
    return compute_dtype == jnp.bfloat16 and runtime.cpu_multiplies_bf16()
