"""FcaNet: squeeze-and-excitation that sees a frequency of each channel instead of its mean."""

from typing import final

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.attention.se import excitation

# Pairs of vertical and horizontal frequency on a 7x7 map: "top" by accuracy when used alone, "low" from the lowest.
FREQUENCIES = {
    "top": "00 01 60 05 02 10 12 40 50 16 30 04 06 03 35 22 46 63 33 53 55 21 61 52 54 32 31 41 23 20 65 13",
    "low": "00 01 10 11 02 20 21 12 22 03 30 40 04 13 31 05 14 23 32 41 50 06 15 24 33 42 51 60 16 25 34 43",
}


@final
class FrequencyChannelAttention(Gate):
    """Channel gate s = sigmoid(W2 relu(W1 z)), z_c the coefficient of channel c at one frequency of a 2-D DCT.

    The channels are divided evenly and in order among the n frequencies: channel c gets number c n // C.

    Attributes:
        count: n, the number of frequencies; at most C are used.
        selection: "top" or "low", the list that they are taken from.
        reduction: r; W1 is [C, max(C // r, 1)].

    Source: arXiv:2012.11879, multi-spectral channel attention. As in the authors' code: the top 16 frequencies, and an
    orthonormal DCT, whose constant factors the equations leave out. Frequencies are those of a 7x7 map, scaled to this
    one, u H // 7. The code does the same if sides are multiples of 7, and resizes maps of other sizes.
    """

    paper = "arXiv:2012.11879"
    formula = "x σ(W2 relu(W1 z)), z_c = Σ x_c cos(π u (i + ½) / H) cos(π v (j + ½) / W)"
    differs = ""

    count: int = 16
    selection: str = "top"
    reduction: int = 16

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C].

        Raises:
            ValueError: if the selection is not known or has fewer frequencies.
        """
        if self.selection not in FREQUENCIES:
            raise ValueError(f"selection must be one of {', '.join(FREQUENCIES)}, got {self.selection!r}")
        pairs = FREQUENCIES[self.selection].split()
        if not 1 <= self.count <= len(pairs):
            raise ValueError(f"count must be from 1 to {len(pairs)}, got {self.count}")
        _, height, width, channels = x.shape
        number = np.arange(channels) * min(self.count, channels) // channels
        u, v = np.array([[int(digit) for digit in pair] for pair in pairs])[number].T
        by_row = jnp.sum(x * _cosines(v, width)[None, None], axis=2, keepdims=True)
        z = jnp.sum(by_row * _cosines(u, height)[None, :, None], axis=1, keepdims=True)
        return excitation(z, self.reduction)


def _cosines(frequencies, size):
    """The orthonormal DCT's basis function of each channel: [size, C] of frequencies [C] on a map of 7 positions."""
    stretched = frequencies * size // 7
    waves = np.cos(np.pi * stretched * (np.arange(size)[:, None] + 0.5) / size)
    return (waves * np.sqrt(np.where(stretched == 0, 1, 2) / size)).astype(np.float32)
