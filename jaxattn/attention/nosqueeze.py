"""Squeeze-and-excitation without the squeeze: the same two layers, applied at each position."""

from typing import final

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.attention.se import excitation


@final
class NoSqueeze(Gate):
    """Gate s_i = sigmoid(W2 relu(W1 x_i)) at each position i, with the parameters of `se`.

    Attributes:
        reduction: r; W1 is [C, max(C // r, 1)].

    Source: arXiv:1709.01507, section 7.1, NoSqueeze: without the mean over the map, no position sees another. The
    layers are those of `se`.
    """

    paper = "arXiv:1709.01507"
    formula = "x σ(W2 relu(W1 x)), position by position"
    differs = ""

    reduction: int = 16

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Weights in (0, 1), [B, H, W, C], of x [B, H, W, C]."""
        return excitation(x, self.reduction)
