"""The compute dtype: what operands are rounded to before they are multiplied, while sums keep their own type.

It counts on GPU and TPU. On a CPU the operands keep their own type: XLA's products of bfloat16 make a training step 1.5
times as long where there is AVX512-BF16, and 1.4 times where there is AMX, whose fast products do not make up for
Winograd convolution, which bfloat16 is too coarse for.
"""

import jax

ComputeDtype = jax.typing.DTypeLike | None  # None: the operands' own type


def cast(compute_dtype: ComputeDtype, *arrays: jax.Array) -> list[jax.Array]:
    """The arrays [...] in the compute dtype."""
    return [x.astype(x.dtype if compute_dtype is None else compute_dtype) for x in arrays]
