"""CBAM: a channel gate followed by a spatial gate."""

from typing import final

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.channel import ChannelAttention
from jaxattn.attention.spatial import SpatialAttention


@final
class ConvolutionalBlockAttention(nn.Module):
    """x' = x Mc(x), y = x' Ms(x'): `channel`, then `spatial` on its output.

    Attributes:
        reduction: r of the channel gate.
        code: whether to follow the authors' code: biases in the channel gate, BatchNorm in the spatial gate.
        train: whether that BatchNorm uses the batch's statistics.

    Source: arXiv:1807.06521, equations 1-3; `cbam` follows the paper, `cbam-code` the code.
    """

    paper = "arXiv:1807.06521"
    formula = "x' = channel(x); spatial(x')"
    differs = "paper: neither bias nor normalisation; code: biases in the mlp, BatchNorm after the 7x7"

    reduction: int = 16
    code: bool = False
    train: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """x [B, H, W, C] weighted by channel and then by position: [B, H, W, C]."""
        x = ChannelAttention(self.reduction, bias=self.code, name="channel")(x)
        return SpatialAttention(normalise=self.code, train=self.train, name="spatial")(x)
