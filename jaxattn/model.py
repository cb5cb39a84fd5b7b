"""The network: convolution blocks with optional attention, and a dense head."""

import functools
from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Num

from jaxattn.attention import mode
from jaxattn.attention.gate import Gate
from jaxattn.attention.registry import Attention
from jaxattn.errors import InputError
from jaxattn.layers import convolution, dense, init
from jaxattn.layers.compute_dtype import ComputeDtype
from jaxattn.layers.norm import BatchNorm
from jaxattn.layers.pooling import gated_max_pool_2x2, max_pool_2x2


@final
class ConvBlock(nn.Module):
    """conv 3x3 → BatchNorm → ReLU → [attention] → max pool 2x2.

    Attributes:
        channels: width C of the block.
        attention: a Linen class or a partial of one; None for none. A module that behaves differently in training is
            informed by a field or an argument of its call (`attention.mode`).
        position: whether attention comes "before" the pool or "after" it.
        compute_dtype: see `CNN`.
    """

    channels: int
    attention: Attention = None
    position: str = "before"
    compute_dtype: ComputeDtype = None

    @nn.compact
    def __call__(self, x: Float[Array, "B H W Cin"], train: bool = False) -> Float[Array, "B H//2 W//2 C"]:
        """x [B, H, W, Cin] to [B, H // 2, W // 2, C].

        Raises:
            InputError: where the attention does not keep the shape of its input.
        """
        conv = functools.partial(convolution.conv_general_dilated, compute_dtype=self.compute_dtype)
        x = init.conv(self.channels, x.shape[-1], 3, padding=1, conv_general_dilated=conv, name="conv")(x)
        x = nn.relu(BatchNorm(name="norm")(x, train))
        if self.position == "after":
            x = max_pool_2x2(x)
        if self.attention is not None:
            module = mode.create(self.attention, train, "attention")
            if train and type(module).__call__ is Gate.__call__ and self.position == "before":
                # equals the lines below, in less time
                return gated_max_pool_2x2(x, module.gate(x, **mode.arguments(module, train)))
            attended = mode.attend(module, x, train)
            if attended.shape != x.shape:
                raise InputError(
                    f"attention must keep the shape of its input, {list(x.shape)}, got {list(attended.shape)}"
                )
            x = attended
        return max_pool_2x2(x) if self.position == "before" else x


@final
class CNN(nn.Module):
    """The tutorial's classifier: blocks of 32, 64, 128 channels, dense 512, dropout, dense to the classes.

    Attributes:
        classes: number of classes K.
        widths: channels of each block, which halves height and width.
        hidden: units of the dense layer.
        dropout: fraction of them dropped in training, in [0, 1).
        attention: the attention in the blocks (see `ConvBlock`).
        attention_at: in which of them, counted from 1; None for all.
        attention_position: "before" the pool or "after" it.
        compute_dtype: what operands of the blocks' convolutions and the dense layers are rounded to; None for their
            own type. Weights, sums, statistics and attention keep their type; but on GPU and TPU a convolution rounds
            each finished sum to it, once.
    """

    classes: int = 10
    widths: tuple[int, ...] = (32, 64, 128)
    hidden: int = 512
    dropout: float = 0.5
    attention: Attention = None
    attention_at: tuple[int, ...] | None = None
    attention_position: str = "before"
    compute_dtype: ComputeDtype = None

    @nn.compact
    def __call__(self, images: Num[Array, "B H W 3"], train: bool = False) -> Float[Array, "B K"]:
        """Normalised images [B, H, W, 3] to logits [B, K]; `train` needs an rng named "dropout".

        Raises:
            InputError: where the images are no floating-point numbers, or smaller than the pools need.
        """
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise InputError(
                f"images must be normalised floating-point numbers, got {images.dtype}; Run.predict takes uint8 images"
            )
        smallest = 2 ** len(self.widths)
        if images.ndim != 4 or min(images.shape[1:3]) < smallest:
            raise InputError(f"images must be [B, H, W, C] with H, W >= {smallest}, got {list(images.shape)}")
        x = images
        for i, channels in enumerate(self.widths, 1):
            attention = self.attention if self.attention_at is None or i in self.attention_at else None
            x = ConvBlock(channels, attention, self.attention_position, self.compute_dtype, name=f"block_{i}")(x, train)
        x = x.reshape(x.shape[0], -1)
        dot = functools.partial(dense.dot_general, compute_dtype=self.compute_dtype)
        x = nn.relu(init.dense(self.hidden, x.shape[-1], dot_general=dot, name="hidden")(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return init.dense(self.classes, self.hidden, dot_general=dot, name="head")(x)
