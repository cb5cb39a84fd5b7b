"""Wide residual networks."""

import functools
import re
from typing import final

from flax import linen as nn
from jax import Array
from jaxtyping import Float, Num

from jaxattn.attention.registry import Attention
from jaxattn.layers.compute_dtype import ComputeDtype
from jaxattn.networks.network import Layer, Network, Site, attend
from jaxattn.networks.resnet import POSITIONS, block_layers, block_sites, classify, conv, named_blocks, norm_relu


@final
class PreActivationBlock(nn.Module):
    """shortcut(x) + F(x), F: norm, ReLU, conv, norm, ReLU, [dropout], conv.

    A shortcut that changes the shape is a 1x1 convolution of the first ReLU's output, as in the authors' code.

    Attributes:
        channels: width C of the block.
        stride: of the first convolution and of the shortcut.
        dropout: fraction dropped between the convolutions, in [0, 1).
        attention: as in `Network`; None for none.
        position: as in `resnet.BasicBlock`; "post" is after the sum, without a ReLU here.
        compute_dtype: see `Network`.

    Source: arXiv:1605.07146, figure 1 (c) and (d).
    """

    channels: int
    stride: int = 1
    dropout: float = 0.0
    attention: Attention = None
    position: str = "residual"
    compute_dtype: ComputeDtype = None

    @nn.compact
    def __call__(self, x: Float[Array, "B H W Cin"], train: bool = False) -> Float[Array, "B H2 W2 C"]:
        """x [B, H, W, Cin] to [B, ceil(H / stride), ceil(W / stride), C].

        Raises:
            InputError: if the attention does not keep the shape of its input.
        """
        make = functools.partial(conv, compute_dtype=self.compute_dtype)

        def attended_at(position, y):
            return attend(self.attention, y, train) if self.position == position else y

        activated = norm_relu(x, train, "norm1")
        y = make(self.channels, "conv1", stride=self.stride)(attended_at("pre", activated))
        y = attended_at("inside", norm_relu(y, train, "norm2"))
        y = nn.Dropout(self.dropout, deterministic=not train)(y)
        if self.position == "conv2" and self.attention is not None:
            y = attend(self.attention, y, train)
        else:
            y = make(self.channels, "conv2")(y)
        y = attended_at("residual", y)
        if x.shape[-1] != self.channels or self.stride != 1:
            x = make(self.channels, "shortcut_conv", size=1, stride=self.stride)(activated)
        return attended_at("post", attended_at("identity", x) + y)


@final
class WideResNet(Network):
    """3x3 convolution; three stages of pre-activation blocks, the last two halving the map; norm, ReLU, mean, dense.

    Attributes:
        widths: channels of each stage.
        blocks: blocks in each stage.
        dropout: see `PreActivationBlock`.

    Source: arXiv:1605.07146, table 1; initial weights as in `resnet.ResNet`.
    """

    positions = POSITIONS
    first = ("conv",)

    widths: tuple[int, ...] = (64, 128, 256)
    blocks: tuple[int, ...] = (2, 2, 2)
    dropout: float = 0.0

    @nn.nowrap
    def sites(self) -> tuple[Site, ...]:
        """One in each block."""
        return block_sites(self.blocks)

    @nn.nowrap
    def layers(self) -> tuple[Layer, ...]:
        """The first convolution; the norms, convolutions, attention and output of each block."""
        return block_layers(self.blocks, ("norm1", "conv1", "norm2", "conv2", "attention"))

    @nn.compact
    def __call__(self, images: Num[Array, "B H W 3"], train: bool = False) -> Float[Array, "B K"]:
        """Normalised images [B, H, W, 3] to logits [B, K]; dropout in training needs an rng named "dropout".

        Raises:
            InputError: if the images are not floating-point numbers.
        """
        x = self.check(images)
        x = conv(16, "conv", compute_dtype=self.compute_dtype)(x)
        for number, block in enumerate(named_blocks(self.blocks), 1):
            x = PreActivationBlock(
                self.widths[block.stage - 1],
                block.stride,
                self.dropout,
                self.attention_of(number),
                self.position,
                self.compute_dtype,
                name=block.name,
            )(x, train)
        return classify(norm_relu(x, train, "norm"), self.classes, self.compute_dtype)


def wide_resnet(name: str) -> "functools.partial[WideResNet] | None":
    """The network by its name, "wrn-DEPTH-WIDTH", such as "wrn-28-10"; None for any other name.

    The depth is 6 n + 4 for n blocks in each stage; widths are 16, 32 and 64 times the width.
    """
    match = re.fullmatch(r"wrn-(\d{1,4})-(\d{1,3})", name)
    if not match or int(match[1]) % 6 != 4 or int(match[1]) < 10 or int(match[2]) < 1:
        return None
    count, factor = (int(match[1]) - 4) // 6, int(match[2])
    return functools.partial(WideResNet, widths=(16 * factor, 32 * factor, 64 * factor), blocks=(count,) * 3)
