"""The compute dtype: what operands are rounded to before they are multiplied, while sums keep their own type.

It takes effect on GPU and TPU. On a CPU the operands keep their own type: with XLA's bfloat16 products, a training step
takes 1.5 times as long on AVX512-BF16 and 1.4 times as long on AMX, whose fast products do not make up for the loss of
Winograd convolution, for which bfloat16 is too coarse.
"""

import jax

ComputeDtype = jax.typing.DTypeLike | None  # None: the operands' own type


def cast(compute_dtype: ComputeDtype, *arrays: jax.Array) -> list[jax.Array]:
    """The arrays [...] in the compute dtype."""
    return [x.astype(x.dtype if compute_dtype is None else compute_dtype) for x in arrays]
