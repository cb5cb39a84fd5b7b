"""Shuffle attention: in each group, half of the channels are weighted by channel and half by position."""

import math
from typing import final

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.layers.norm import instance_norm


@final
class ShuffleAttention(nn.Module):
    """y = shuffle(x g): in each group g = sigmoid(w1 mean(x) + b1) for the first half, sigmoid(w2 norm(x) + b2) else.

    The mean is over H and W, and norm normalises each channel of an image over H and W and scales it. All groups
    share w1, b1, w2, b2 and the norm's scale and bias, one number for each channel of a half.

    The shuffle interleaves the two halves of all C channels: y has the channels of x g in the order 0, C/2, 1, C/2 + 1
    and so on. So y is not x times a gate; the weights of `gate` are in the order of x.

    Attributes:
        groups: of channels; gcd(C / 2, groups) of them are used, so that they divide C / 2.

    Raises:
        ValueError: if the number of channels is odd.

    Source: arXiv:2102.00240, section 3, with 64 groups, w1 and w2 starting at 0 and b1 and b2 at 1 as in the authors'
    code. If C divides 128, each half of a group is one channel.
    """

    paper = "arXiv:2102.00240"
    formula = "shuffle(x g), half of each group g = σ(w1 mean(x) + b1), half g = σ(w2 norm(x) + b2)"
    differs = ""

    permutes_channels = True  # channel c of the output is not channel c of the input

    groups: int = 64

    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Weights in (0, 1), [B, H, W, C], of x [B, H, W, C], in the order of its channels."""
        channels = x.shape[-1]
        groups = math.gcd(channels // 2, self.groups)
        half = channels // (2 * groups)

        def shared(name, initial):
            """The parameters of one half, [half], repeated for all halves: [1, 1, 1, C]."""
            return jnp.tile(self.param(name, initial, (half,)), 2 * groups)[None, None, None]

        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        is_first = (np.arange(channels) // half % 2 == 0)[None, None, None]
        weight = jnp.where(is_first, shared("channel_weight", zeros), shared("position_weight", zeros))
        bias = jnp.where(is_first, shared("channel_bias", ones), shared("position_bias", ones))
        normalised = instance_norm(x) * shared("norm_scale", ones) + shared("norm_bias", zeros)
        statistic = jnp.where(is_first, jnp.mean(x, axis=(1, 2), keepdims=True), normalised)
        return nn.sigmoid(statistic * weight + bias)

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """x [B, H, W, C] times its gate, with its channels shuffled: [B, H, W, C]."""
        channels = x.shape[-1]
        if channels % 2:
            raise ValueError(f"channels must be even, got {channels}")
        weighted = (x * self.gate(x)).astype(x.dtype)
        return weighted.reshape(*x.shape[:3], 2, channels // 2).swapaxes(3, 4).reshape(x.shape)
