"""The network: convolution blocks with a place for attention, and a dense head."""

import inspect
from collections.abc import Callable
from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn import init, ops


@final
class BatchNorm(nn.Module):
    """Normalises each channel over the batch in training, by running statistics in evaluation.

    y = (x - mean) / sqrt(var + eps) * scale + bias, with the biased variance of the batch; the running variance is
    fed the unbiased one, as PyTorch does (Flax's own feeds the biased one).

    Attributes:
        momentum: share of the old running statistics that stays (PyTorch's momentum .1 is .9 here).
        epsilon: added to the variance.

    Source: arXiv:1502.03167, algorithm 1.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """x [B, H, W, C] normalised, same shape; `train` uses the batch's statistics and updates the running ones."""
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape)
        if not train:
            factor = scale * jax.lax.rsqrt(running_var.value + self.epsilon)
            return x * factor + (bias - running_mean.value * factor)
        y, mean, var = ops.batch_norm(x, scale, bias, self.epsilon)
        if not self.is_initializing():
            count = x.size // x.shape[-1]
            keep, new = self.momentum, 1 - self.momentum
            running_mean.value = keep * running_mean.value + new * mean
            running_var.value = keep * running_var.value + new * var * (count / max(count - 1, 1))
        return y


@final
class ConvBlock(nn.Module):
    """conv 3x3 → BatchNorm → ReLU → [attention] → max pool 2x2.

    Attributes:
        channels: width C of the block.
        attention: makes the attention module when called with `name=` (and `train=`, where it takes that: a module
            that acts otherwise in training); None for none. A Linen class or a partial of one.
    """

    channels: int
    attention: Callable[..., nn.Module] | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """x [B, H, W, Cin] to [B, H // 2, W // 2, C]."""
        x = init.conv(
            self.channels, x.shape[-1], 3, padding=1, conv_general_dilated=ops.conv_general_dilated, name="conv"
        )(x)
        x = nn.relu(BatchNorm(name="norm")(x, train))
        if self.attention is not None:
            mode = {"train": train} if "train" in inspect.signature(self.attention).parameters else {}
            x = self.attention(**mode, name="attention")(x)
        return ops.max_pool_2x2(x)


@final
class CNN(nn.Module):
    """The tutorial's classifier: blocks of 32, 64, 128 channels, dense 512, dropout, dense to the classes.

    Attributes:
        classes: number of classes K.
        widths: channels of each block; the picture is halved by each.
        hidden: units of the dense layer.
        dropout: fraction of them dropped in training, in [0, 1).
        attention: what stands in each block (see `ConvBlock`).
    """

    classes: int = 10
    widths: tuple[int, ...] = (32, 64, 128)
    hidden: int = 512
    dropout: float = 0.5
    attention: Callable[..., nn.Module] | None = None

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Normalised images [B, H, W, 3] to logits [B, K]; `train` needs an rng named "dropout"."""
        smallest = 2 ** len(self.widths)
        if images.ndim != 4 or min(images.shape[1:3]) < smallest:
            raise ValueError(f"images must be [B, H, W, C] with H, W >= {smallest}, got {list(images.shape)}")
        x = images
        for i, channels in enumerate(self.widths):
            x = ConvBlock(channels, self.attention, name=f"block_{i + 1}")(x, train)
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(init.dense(self.hidden, x.shape[-1], name="hidden")(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return init.dense(self.classes, self.hidden, name="head")(x)
