"""Selective kernel: two convolutions of unlike reach, mixed by channel."""

import math
from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn import init
from jaxattn.attention.convolution import conv_general_dilated
from jaxattn.norm import BatchNorm


@final
class SelectiveKernel(nn.Module):
    """y = (1 - b) u + b v by channel, u and v = relu(norm(conv(x))) with 3x3 kernels of dilation 1 and 2.

    b is the second of softmax([A z, B z]), z = relu(norm(W mean(u + v))). The convolutions have gcd(C, 32) groups, and
    no layer a bias.

    Attributes:
        reduction: r; z has max(C // r, 32) values.
        train: whether BatchNorm uses the batch's statistics.

    Source: arXiv:1903.06586, equations 1-6, with M = 2, G = 32, L = 32 and the 5x5 kernel as a dilated 3x3. There it
    takes the place of a convolution, here it follows one.
    """

    paper = "arXiv:1903.06586"
    formula = "(1 - b) u + b v, [1 - b, b] = softmax([A z, B z]), z = relu(norm(W mean(u + v)))"
    differs = ""

    reduction: int = 16
    train: bool = False

    def gate(self, both: jax.Array) -> jax.Array:
        """Share b in (0, 1) of the wide branch, [B, 1, 1, C], from the sum of the branches [B, H, W, C]."""
        channels = both.shape[-1]
        hidden = max(channels // self.reduction, 32)
        z = init.dense(hidden, channels, use_bias=False, name="squeeze")(jnp.mean(both, axis=(1, 2), keepdims=True))
        z = nn.relu(BatchNorm(name="squeeze_norm")(z, self.train))
        narrow, wide = (init.dense(channels, hidden, use_bias=False, name=name)(z) for name in ("narrow", "wide"))
        return nn.sigmoid(wide - narrow)  # softmax over two

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """The mixed branches, [B, H, W, C], of x [B, H, W, C]."""
        channels = x.shape[-1]
        groups = math.gcd(channels, 32)

        def branch(dilation, name):
            y = init.conv(
                channels,
                channels // groups,
                3,
                padding=dilation,
                kernel_dilation=(dilation, dilation),
                feature_group_count=groups,
                use_bias=False,
                conv_general_dilated=conv_general_dilated,
                name=f"{name}_conv",
            )(x)
            return nn.relu(BatchNorm(name=f"{name}_norm")(y, self.train))

        u, v = branch(1, "narrow"), branch(2, "wide")
        return (u + self.gate(u + v) * (v - u)).astype(x.dtype)
