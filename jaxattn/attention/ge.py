"""Gather-excite: each channel weighted by the surroundings of a position, or by the whole map."""

import math
from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.layers import init
from jaxattn.layers.grouped_convolution import conv_general_dilated
from jaxattn.layers.norm import BatchNorm


def _check(extent: int, allowed: tuple[int, ...]) -> None:
    if extent not in allowed:
        raise ValueError(f"extent must be one of {', '.join(map(str, allowed))} (0: the whole map), got {extent}")


def _nearest(x: Float[Array, "..."], axis: int, size: int) -> Float[Array, "..."]:
    """x [...] resized from n to `size` along one axis: output i is input i * n // size, as in PyTorch's nearest."""
    count = x.shape[axis]
    if size % count == 0:
        return jnp.repeat(x, size // count, axis=axis)  # the gradient of `take` would be a scatter
    return jnp.take(x, jnp.arange(size) * count // size, axis=axis)


def _enlarge(x: Float[Array, "B h w C"], height: int, width: int) -> Float[Array, "B H W C"]:
    """x [B, h, w, C] to [B, H, W, C] by nearest neighbours."""
    return _nearest(_nearest(x, 1, height), 2, width)


def _window_sums(x: Float[Array, "..."], axis: int, extent: int) -> Float[Array, "..."]:
    """Sums over windows of 2e - 1 around every e-th position of one axis of x [...]: n positions give ceil(n / e) sums.

    A window is the block of e positions that starts at its centre, and the last e - 1 positions of the block before.
    Both are plain sums, since the gradient of `reduce_window` would take many times as long on a CPU.
    """
    count = -(-x.shape[axis] // extent)
    blocks = jnp.pad(x, _margin(x, axis, 0, count * extent - x.shape[axis]))
    blocks = blocks.reshape(*x.shape[:axis], count, extent, *x.shape[axis + 1 :])
    before = jax.lax.slice_in_dim(blocks, 1, extent, axis=axis + 1).sum(axis + 1)
    before = jax.lax.slice_in_dim(jnp.pad(before, _margin(before, axis, 1, 0)), 0, count, axis=axis)
    return blocks.sum(axis + 1) + before


def _margin(x, axis, low, high):
    return [(low, high) if i == axis else (0, 0) for i in range(x.ndim)]


def _local_mean(x: Float[Array, "B H W C"], extent: int) -> Float[Array, "B h w C"]:
    """Mean over windows of 2e - 1 around every e-th position of x [B, H, W, C]: [B, ceil(H / e), ceil(W / e), C]."""

    def sums(y):
        return _window_sums(_window_sums(y, 1, extent), 2, extent)

    return sums(x) / sums(jnp.ones((1, *x.shape[1:3], 1), x.dtype))


@final
class GatherExcite(Gate):
    """Gate s = sigmoid(nearest(mean over windows of 2e - 1 at stride e)), channel by channel, without parameters.

    Attributes:
        extent: e, 2, 4 or 8; 0 gathers the whole map.

    Raises:
        ValueError: for another extent.

    Source: arXiv:1810.12348, gather and excite of section 2 without parameters (GE-theta-minus). At the border a
    window's mean is over the positions inside the map; that is timm's choice, the paper does not say.
    """

    paper = "arXiv:1810.12348"
    formula = "x σ(nearest(mean over (2e-1)x(2e-1), stride e))"
    differs = ""

    extent: int = 0

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B _ _ C"]:
        """Weights in (0, 1) of x [B, H, W, C]: [B, 1, 1, C] from the whole map, else [B, H, W, C]."""
        _check(self.extent, (0, 2, 4, 8))
        if self.extent == 0:
            return nn.sigmoid(jnp.mean(x, axis=(1, 2), keepdims=True))
        return _enlarge(nn.sigmoid(_local_mean(x, self.extent)), *x.shape[1:3])


@final
class GatherExciteLearned(Gate):
    """Gate s = sigmoid(nearest(depthwise convolutions of x)), channel by channel.

    For extent e these are log2(e) depthwise 3x3 convolutions of stride 2, each followed by BatchNorm, with ReLU between
    them. For the whole map it is one depthwise convolution with a weight for each position, followed by BatchNorm; its
    parameters fix the size of the map. No layer has a bias.

    Attributes:
        extent: e, 2, 4 or 8; 0 gathers the whole map.
        train: whether BatchNorm uses the batch's statistics.

    Raises:
        ValueError: for another extent.

    Source: arXiv:1810.12348, the pairing with parameters (GE-theta); BatchNorm as in the authors' definitions of the
    networks. ReLU between the convolutions is timm's choice, the paper does not say.
    """

    paper = "arXiv:1810.12348"
    formula = "x σ(nearest(norm(depthwise 3x3, stride 2, log2 e times; HxW for e = 0)))"
    differs = ""

    extent: int = 0
    train: bool = False

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B _ _ C"]:
        """Weights in (0, 1) of x [B, H, W, C]: [B, 1, 1, C] from the whole map, else [B, H, W, C]."""
        _check(self.extent, (0, 2, 4, 8))
        _, height, width, channels = x.shape
        if self.extent == 0:
            weights = self.param("gather", init.uniform(height * width), (height, width, channels))
            gathered = jnp.einsum("bhwc,hwc->bc", x, weights)[:, None, None, :]
            return nn.sigmoid(BatchNorm(name="norm")(gathered, self.train))
        layers = int(math.log2(self.extent))
        gathered = x
        for i in range(1, layers + 1):
            # a depthwise kernel sees one channel: its fan-in is 9
            gathered = init.conv(
                channels,
                1,
                3,
                padding=1,
                strides=2,
                feature_group_count=channels,
                use_bias=False,
                conv_general_dilated=conv_general_dilated,
                name=f"gather_{i}",
            )(gathered)
            gathered = BatchNorm(name=f"norm_{i}")(gathered, self.train)
            gathered = nn.relu(gathered) if i < layers else gathered
        return _enlarge(nn.sigmoid(gathered), height, width)
