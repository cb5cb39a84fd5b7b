"""CBAM: a channel gate and then a spatial one."""

from typing import final

import jax
from flax import linen as nn

from jaxattn.attention.channel import ChannelAttention
from jaxattn.attention.spatial import SpatialAttention


@final
class ConvolutionalBlockAttention(nn.Module):
    """x' = x Mc(x), y = x' Ms(x'): `channel` and, on what it gives, `spatial`.

    Attributes:
        reduction: r of the channel gate.
        code: as the authors' code, with biases in the channel gate and BatchNorm in the spatial one.
        train: whether that BatchNorm uses the batch's statistics.

    Source: arXiv:1807.06521, equations 1-3; `cbam` as the paper, `cbam-code` as the code.
    """

    paper = "arXiv:1807.06521"
    formula = "x' = channel(x); spatial(x')"
    differs = "paper: neither bias nor normalisation; code: biases in the mlp, BatchNorm after the 7x7"

    reduction: int = 16
    code: bool = False
    train: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x [B, H, W, C] weighed by channel and then by place: [B, H, W, C]."""
        x = ChannelAttention(self.reduction, bias=self.code, name="channel")(x)
        return SpatialAttention(normalise=self.code, train=self.train, name="spatial")(x)
