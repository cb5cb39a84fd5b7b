"""Networks with squeeze-and-excitation as a Flax tutorial writes them, to compare with."""

import functools

import jax.numpy as jnp
from flax import linen as nn


class PlainSqueezeExcitation(nn.Module):
    @nn.compact
    def __call__(self, x):
        channels = x.shape[-1]
        hidden = nn.relu(nn.Dense(max(channels // 16, 1), use_bias=False)(x.mean((1, 2))))
        return x * nn.sigmoid(nn.Dense(channels, use_bias=False)(hidden))[:, None, None, :]


class PlainCNN(nn.Module):
    """The tutorial's network."""

    dtype: type = jnp.float32

    @nn.compact
    def __call__(self, x, train=False):
        for channels in (32, 64, 128):
            x = nn.Conv(channels, (3, 3), dtype=self.dtype)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype)(x))
            x = nn.max_pool(PlainSqueezeExcitation()(x), (2, 2), strides=(2, 2))
        x = nn.relu(nn.Dense(512, dtype=self.dtype)(x.reshape(x.shape[0], -1)))
        return nn.Dense(10, dtype=self.dtype)(nn.Dropout(0.5, deterministic=not train)(x))


class PlainBlock(nn.Module):
    channels: int
    stride: int
    projection: bool
    dtype: type

    @nn.compact
    def __call__(self, x, train):
        conv = functools.partial(nn.Conv, self.channels, use_bias=False, dtype=self.dtype)
        norm = functools.partial(nn.BatchNorm, use_running_average=not train, momentum=0.9, dtype=self.dtype)
        y = nn.relu(norm()(conv((3, 3), self.stride, padding=1)(x)))
        y = PlainSqueezeExcitation()(norm()(conv((3, 3), padding=1)(y)))
        if self.projection and x.shape != y.shape:
            x = norm()(conv((1, 1), self.stride)(x))
        elif x.shape != y.shape:
            more = self.channels - x.shape[-1]
            x = jnp.pad(x[:, :: self.stride, :: self.stride], ((0, 0), (0, 0), (0, 0), (0, more)))
        return nn.relu(x + y)


class PlainResNet(nn.Module):
    """He et al.'s residual network."""

    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    projection: bool
    dtype: type = jnp.float32

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(self.widths[0], (3, 3), use_bias=False, dtype=self.dtype)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype)(x))
        for stage, (width, count) in enumerate(zip(self.widths, self.blocks, strict=True)):
            for block in range(count):
                x = PlainBlock(width, 2 if stage and not block else 1, self.projection, self.dtype)(x, train)
        return nn.Dense(10, dtype=self.dtype)(x.mean((1, 2)))
