"""Efficient channel attention: each channel weighted by the means of its neighbours."""

import math
from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.layers import init


def kernel_size(channels: int) -> int:
    """The odd number nearest to (log2(C) + 1) / 2, the larger one in a tie: 3 for C = 32 and 64, 5 for C = 128."""
    return 2 * math.floor((math.log2(channels) + 1) / 4) + 1


@final
class EfficientChannelAttention(Gate):
    """Channel gate s = sigmoid(conv1d(z)): z, the mean of x over H and W, convolved along C with k weights, no bias.

    Attributes:
        kernel: k, odd; None computes it from C as the paper does.

    Source: arXiv:1910.03151, equations 7 and 12 with gamma 2 and b 1. The authors' module has k = 3 by default:
    `eca-fixed3`. The order of the channels matters; the ends are padded with zeros.
    """

    paper = "arXiv:1910.03151"
    formula = "x σ(conv1d_k(mean(x)) along C)"
    differs = "paper: k = (log2 C + 1) / 2, the nearest odd; code: k = 3"

    kernel: int | None = None

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C].

        Raises:
            ValueError: if the kernel size is not odd and positive.
        """
        size = kernel_size(x.shape[-1]) if self.kernel is None else self.kernel
        if size < 1 or size % 2 == 0:
            raise ValueError(f"kernel must be odd and positive, got {size}")
        squeezed = jnp.mean(x, axis=(1, 2))[:, :, None]
        mixed = nn.Conv(1, (size,), use_bias=False, kernel_init=init.uniform(size), name="mix")(squeezed)
        return nn.sigmoid(mixed)[:, None, None, :, 0]
