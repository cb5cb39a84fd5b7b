"""The network: convolution blocks with a place for attention, and a dense head."""

import functools
from collections.abc import Callable
from typing import Any, final

import jax
from flax import linen as nn

from jaxattn import init, ops
from jaxattn.attention.chain import takes
from jaxattn.attention.gate import Gate
from jaxattn.errors import InputError
from jaxattn.norm import BatchNorm

Attention = Callable[..., nn.Module] | None


@final
class ConvBlock(nn.Module):
    """conv 3x3 → BatchNorm → ReLU → [attention] → max pool 2x2.

    Attributes:
        channels: width C of the block.
        attention: makes the attention module when called with `name=` (and `train=`, where it takes that: a module
            that acts otherwise in training); None for none. A Linen class or a partial of one.
        position: whether attention stands "before" the pool or "after" it.
        products: see `CNN`.
    """

    channels: int
    attention: Attention = None
    position: str = "before"
    products: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """x [B, H, W, Cin] to [B, H // 2, W // 2, C].

        Raises:
            InputError: where the attention does not keep the shape of its input.
        """
        convolution = functools.partial(ops.conv_general_dilated, products=self.products)
        x = init.conv(self.channels, x.shape[-1], 3, padding=1, conv_general_dilated=convolution, name="conv")(x)
        x = nn.relu(BatchNorm(name="norm")(x, train))
        if self.position == "after":
            x = ops.max_pool_2x2(x)
        if self.attention is not None:
            mode = {"train": train} if takes(self.attention, "train") else {}
            module = self.attention(**mode, name="attention")
            if train and type(module).__call__ is Gate.__call__ and self.position == "before":
                return ops.gated_max_pool_2x2(x, module.gate(x))  # what follows, in less time
            attended = module(x)
            if attended.shape != x.shape:
                raise InputError(
                    f"attention must give the shape it was given, {list(x.shape)}, got {list(attended.shape)}"
                )
            x = attended
        return ops.max_pool_2x2(x) if self.position == "before" else x


@final
class CNN(nn.Module):
    """The tutorial's classifier: blocks of 32, 64, 128 channels, dense 512, dropout, dense to the classes.

    Attributes:
        classes: number of classes K.
        widths: channels of each block; the picture is halved by each.
        hidden: units of the dense layer.
        dropout: fraction of them dropped in training, in [0, 1).
        attention: what stands in the blocks (see `ConvBlock`).
        attention_at: in which of them, counted from 1; None for all.
        attention_position: "before" the pool or "after" it.
        products: type that numbers are rounded to where a block's convolution or a dense layer multiplies them; None
            for their own. Everything else, weights, sums, statistics and attention, keeps its type; but on GPU and
            TPU a convolution rounds each finished sum to it, once.
    """

    classes: int = 10
    widths: tuple[int, ...] = (32, 64, 128)
    hidden: int = 512
    dropout: float = 0.5
    attention: Attention = None
    attention_at: tuple[int, ...] | None = None
    attention_position: str = "before"
    products: Any = None

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Normalised images [B, H, W, 3] to logits [B, K]; `train` needs an rng named "dropout"."""
        smallest = 2 ** len(self.widths)
        if images.ndim != 4 or min(images.shape[1:3]) < smallest:
            raise ValueError(f"images must be [B, H, W, C] with H, W >= {smallest}, got {list(images.shape)}")
        x = images
        for i, channels in enumerate(self.widths, 1):
            attention = self.attention if self.attention_at is None or i in self.attention_at else None
            x = ConvBlock(channels, attention, self.attention_position, self.products, name=f"block_{i}")(x, train)
        x = x.reshape(x.shape[0], -1)
        product = functools.partial(ops.dot_general, products=self.products)
        x = nn.relu(init.dense(self.hidden, x.shape[-1], dot_general=product, name="hidden")(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return init.dense(self.classes, self.hidden, dot_general=product, name="head")(x)
