"""The compute dtype: what operands are rounded to before they are multiplied, while sums keep their own type.

On a CPU it counts only if the CPU has matrix units for it (AMX). Elsewhere products of bfloat16 are slower than those
of float32 (a step takes 1.5 times as long where there is AVX512-BF16), and rounding the operands alone costs time as
well, so the operands keep their own type.
"""

import jax
import jax.numpy as jnp

from jaxattn import runtime

ComputeDtype = jax.typing.DTypeLike | None  # None: the operands' own type


def cast(compute_dtype: ComputeDtype, *arrays: jax.Array) -> list[jax.Array]:
    """The arrays [...] in the compute dtype."""
    return [x.astype(x.dtype if compute_dtype is None else compute_dtype) for x in arrays]


def is_native(compute_dtype: ComputeDtype) -> bool:
    """Whether this CPU has matrix units for products in the compute dtype."""
    return compute_dtype == jnp.bfloat16 and runtime.cpu_multiplies_bf16()
