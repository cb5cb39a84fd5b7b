"""Residual networks of basic blocks: He et al.'s for CIFAR, and the ResNet-18 with a 3x3 stem."""

import functools
from typing import NamedTuple, final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Num

from jaxattn.attention.registry import Attention
from jaxattn.layers import convolution, dense, init
from jaxattn.layers.compute_dtype import ComputeDtype
from jaxattn.layers.norm import BatchNorm
from jaxattn.networks.network import Layer, Network, Site, attend

POSITIONS = ("residual", "pre", "post", "identity", "inside", "conv2")


def conv(channels: int, name: str, size: int = 3, stride: int = 1, compute_dtype: ComputeDtype = None) -> nn.Conv:
    """A convolution without bias, padded so that stride 1 keeps the size, with He initialisation.

    Source: arXiv:1502.01852, equation 10, with the number of inputs.
    """
    return nn.Conv(
        channels,
        (size, size),
        strides=(stride, stride),
        padding=size // 2,
        use_bias=False,
        kernel_init=nn.initializers.he_normal(),
        conv_general_dilated=functools.partial(convolution.conv_general_dilated, compute_dtype=compute_dtype),
        name=name,
    )


def norm_relu(x: Float[Array, "B H W C"], train: bool, name: str) -> Float[Array, "B H W C"]:
    """The ReLU of normalised x [B, H, W, C], of the same shape; in evaluation, the norm's output can be captured."""
    y = BatchNorm(relu=train, name=name)(x, train)
    return y if train else nn.relu(y)


def shortcut(x: Float[Array, "B H W Cin"], channels: int, stride: int) -> Float[Array, "B H2 W2 C"]:
    """Every `stride`-th position of x [B, H, W, Cin], with channels of zeros added: [B, H', W', C].

    Source: arXiv:1512.03385, section 3.3, option A.
    """
    return jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (0, channels - x.shape[-1])))


@final
class BasicBlock(nn.Module):
    """relu(shortcut(x) + F(x)), F of two 3x3 convolutions: conv, norm, ReLU, conv, norm.

    Attributes:
        channels: width C of the block.
        stride: of the first convolution and of the shortcut.
        projection: whether a shortcut that changes the shape is a 1x1 convolution with a norm, not `shortcut`.
        attention: as in `Network`; None for none.
        position: "residual": after F, before the sum; "pre": before F; "post": after the sum and its ReLU;
            "identity": on the shortcut; "inside": after the first ReLU in F; "conv2": in place of F's second
            convolution.
        compute_dtype: see `Network`.

    Source: arXiv:1512.03385, figure 2 and equation 2; positions: arXiv:1709.01507, section 6.4, except the last two.
    """

    channels: int
    stride: int = 1
    projection: bool = False
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

        y = attended_at("pre", x)
        y = norm_relu(make(self.channels, "conv1", stride=self.stride)(y), train, "norm1")
        y = attended_at("inside", y)
        if self.position == "conv2" and self.attention is not None:
            y = attend(self.attention, y, train)
        else:
            y = make(self.channels, "conv2")(y)
        y = attended_at("residual", BatchNorm(name="norm2")(y, train))
        if x.shape[-1] == self.channels and self.stride == 1:
            skipped = x
        elif self.projection:
            skipped = make(self.channels, "shortcut_conv", size=1, stride=self.stride)(x)
            skipped = BatchNorm(name="shortcut_norm")(skipped, train)
        else:
            skipped = shortcut(x, self.channels, self.stride)
        return attended_at("post", nn.relu(attended_at("identity", skipped) + y))


@final
class ResNet(Network):
    """3x3 convolution, norm, ReLU; stages of basic blocks, each but the first halving the map; mean; dense.

    Attributes:
        widths: channels of each stage.
        blocks: basic blocks in each stage.
        projection: see `BasicBlock`.

    Source: arXiv:1512.03385, section 4.2; the initial weights are those of arXiv:1502.01852, and PyTorch's for the
    dense layer. ResNet-18 with a 3x3 stem and without the first pool is students' adaptation of table 1 to CIFAR.
    """

    positions = POSITIONS
    first = ("conv",)

    widths: tuple[int, ...] = (16, 32, 64)
    blocks: tuple[int, ...] = (3, 3, 3)
    projection: bool = False

    @nn.nowrap
    def sites(self) -> tuple[Site, ...]:
        """One in each block."""
        return block_sites(self.blocks)

    @nn.nowrap
    def layers(self) -> tuple[Layer, ...]:
        """The first convolution; the convolutions, norms, attention and output of each block."""
        return block_layers(self.blocks, ("conv1", "norm1", "conv2", "norm2", "attention"))

    @nn.compact
    def __call__(self, images: Num[Array, "B H W 3"], train: bool = False) -> Float[Array, "B K"]:
        """Normalised images [B, H, W, 3] to logits [B, K].

        Raises:
            InputError: if the images are not floating-point numbers.
        """
        x = self.check(images)
        x = conv(self.widths[0], "conv", compute_dtype=self.compute_dtype)(x)
        x = norm_relu(x, train, "norm")
        for number, block in enumerate(named_blocks(self.blocks), 1):
            x = BasicBlock(
                self.widths[block.stage - 1],
                block.stride,
                self.projection,
                self.attention_of(number),
                self.position,
                self.compute_dtype,
                name=block.name,
            )(x, train)
        return classify(x, self.classes, self.compute_dtype)


class Block(NamedTuple):
    """A block of a residual network: its name, such as "stage2_block1", its stage, from 1, and its stride."""

    name: str
    stage: int
    stride: int


def named_blocks(blocks: tuple[int, ...]) -> list[Block]:
    """The blocks, first to last, given their number in each stage; later stages start by halving the map."""
    return [
        Block(f"stage{stage}_block{number}", stage, 2 if stage > 1 and number == 1 else 1)
        for stage, count in enumerate(blocks, 1)
        for number in range(1, count + 1)
    ]


def block_sites(blocks: tuple[int, ...]) -> tuple[Site, ...]:
    """A site for attention in each block, given the number of blocks in each stage."""
    return tuple(Site(block.name, (block.name, "attention"), block.stage) for block in named_blocks(blocks))


def block_layers(blocks: tuple[int, ...], parts: tuple[str, ...]) -> tuple[Layer, ...]:
    """What can be captured in a network of named blocks with these parts; the outputs of stages are mapped."""
    layers = [Layer("conv", ("conv",))]
    names = named_blocks(blocks)
    for i, (name, stage, _) in enumerate(names):
        layers += [Layer(f"{name}_{part}", (name, part)) for part in parts]
        layers.append(Layer(name, (name,), mapped=i + 1 == len(names) or names[i + 1].stage != stage))
    return tuple(layers)


def classify(x: Float[Array, "B H W C"], classes: int, compute_dtype: ComputeDtype) -> Float[Array, "B K"]:
    """Logits [B, K] of the mean over positions of a map [B, H, W, C]: the head of a residual network."""
    dot = functools.partial(dense.dot_general, compute_dtype=compute_dtype)
    return init.dense(classes, x.shape[-1], dot_general=dot, name="head")(jnp.mean(x, axis=(1, 2)))
