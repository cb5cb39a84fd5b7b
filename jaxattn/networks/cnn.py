"""The tutorial's network: convolution blocks with optional attention, and a dense head."""

import functools
from typing import final

from flax import linen as nn
from jax import Array
from jaxtyping import Float, Num

from jaxattn.attention import mode
from jaxattn.attention.gate import Gate
from jaxattn.attention.registry import Attention
from jaxattn.layers import convolution, dense, init
from jaxattn.layers.compute_dtype import ComputeDtype
from jaxattn.layers.norm import BatchNorm
from jaxattn.layers.pooling import gated_max_pool_2x2, max_pool_2x2
from jaxattn.networks.network import Layer, Network, Path, Site, apply


@final
class ConvBlock(nn.Module):
    """conv 3x3 → BatchNorm → ReLU → [attention] → max pool 2x2.

    Attributes:
        channels: width C of the block.
        attention: as in `Network`; None for none.
        position: whether attention comes "before" the pool or "after" it.
        compute_dtype: see `Network`.
    """

    channels: int
    attention: Attention = None
    position: str = "before"
    compute_dtype: ComputeDtype = None

    @nn.compact
    def __call__(self, x: Float[Array, "B H W Cin"], train: bool = False) -> Float[Array, "B H//2 W//2 C"]:
        """x [B, H, W, Cin] to [B, H // 2, W // 2, C].

        Raises:
            InputError: if the attention does not keep the shape of its input.
        """
        conv = functools.partial(convolution.conv_general_dilated, compute_dtype=self.compute_dtype)
        x = init.conv(self.channels, x.shape[-1], 3, padding=1, conv_general_dilated=conv, name="conv")(x)
        x = nn.relu(BatchNorm(name="norm")(x, train))
        if self.position == "after":
            x = max_pool_2x2(x)
        if self.attention is not None:
            module = mode.create(self.attention, train, "attention")
            if train and type(module).__call__ is Gate.__call__ and self.position == "before":
                return gated_max_pool_2x2(x, mode.gate(module, x, train))  # the same, but faster
            x = apply(module, x, train)
        return max_pool_2x2(x) if self.position == "before" else x


@final
class CNN(Network):
    """The tutorial's classifier: blocks of 32, 64, 128 channels, dense 512, dropout, dense to the classes.

    Attributes:
        widths: channels of each block, which halves height and width.
        hidden: units of the dense layer.
        dropout: fraction of them dropped in training, in [0, 1).
    """

    positions = ("before", "after")  # relative to the pool
    first = ("block_1", "conv")

    widths: tuple[int, ...] = (32, 64, 128)
    hidden: int = 512
    dropout: float = 0.5

    @nn.nowrap
    def sites(self) -> tuple[Site, ...]:
        """One in each block."""
        return tuple(Site(f"block{i}", (f"block_{i}", "attention"), i) for i in range(1, len(self.widths) + 1))

    @nn.nowrap
    def layers(self) -> tuple[Layer, ...]:
        """The convolution, norm, attention and output of each block."""
        layers = []
        for i in range(1, len(self.widths) + 1):
            block = f"block_{i}"
            layers += [Layer(f"{part}{i}", (block, part), part == "conv") for part in ("conv", "norm", "attention")]
            layers.append(Layer(f"block{i}", (block,)))
        return tuple(layers)

    @property
    def min_size(self) -> int:
        """The size that the pools need."""
        return 2 ** len(self.widths)

    @property
    def hidden_channels(self) -> dict[Path, int]:
        """Channels of the last block, whose map the hidden layer reads."""
        return {("hidden",): self.widths[-1]}

    @nn.compact
    def __call__(self, images: Num[Array, "B H W 3"], train: bool = False) -> Float[Array, "B K"]:
        """Normalised images [B, H, W, 3] to logits [B, K]; `train` needs an rng named "dropout".

        Raises:
            InputError: if the images are not floating-point numbers, or smaller than the pools need.
        """
        x = self.check(images)
        for i, channels in enumerate(self.widths, 1):
            options = self.attention_of(i), self.position, self.compute_dtype
            x = ConvBlock(channels, *options, name=f"block_{i}")(x, train)
        x = x.reshape(x.shape[0], -1)
        dot = functools.partial(dense.dot_general, compute_dtype=self.compute_dtype)
        x = nn.relu(init.dense(self.hidden, x.shape[-1], dot_general=dot, name="hidden")(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return init.dense(self.classes, self.hidden, dot_general=dot, name="head")(x)
