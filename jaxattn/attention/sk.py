"""Selective kernel: two convolutions with receptive fields of different size, mixed by channel."""

import math
from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.layers import init
from jaxattn.layers.grouped_convolution import conv_general_dilated
from jaxattn.layers.norm import BatchNorm


@final
class SelectiveKernel(nn.Module):
    """y = (1 - b) u + b v by channel, u and v = relu(norm(conv(x))) with 3x3 kernels of dilation 1 and 2.

    b is the second of softmax([A z, B z]), z = relu(norm(W mean(u + v))). The convolutions have gcd(C, 32) groups.
    No layer has a bias.

    Attributes:
        reduction: r; z has max(C // r, 32) values.
        train: whether BatchNorm uses the batch's statistics.

    Source: arXiv:1903.06586, equations 1-6, with M = 2, G = 32, L = 32 and the 5x5 kernel as a dilated 3x3. There it
    replaces a convolution, which is its default in residual networks; in the tutorial's network it follows one.
    """

    paper = "arXiv:1903.06586"
    formula = "(1 - b) u + b v, [1 - b, b] = softmax([A z, B z]), z = relu(norm(W mean(u + v)))"
    usual_position = "conv2"
    differs = ""

    reduction: int = 16
    train: bool = False

    def gate(self, branches: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
        """Weights b in (0, 1) of the wide branch, [B, 1, 1, C], from the sum of the branches [B, H, W, C]."""
        channels = branches.shape[-1]
        hidden = max(channels // self.reduction, 32)
        z = init.dense(hidden, channels, use_bias=False, name="squeeze")(jnp.mean(branches, axis=(1, 2), keepdims=True))
        z = nn.relu(BatchNorm(name="squeeze_norm")(z, self.train))
        narrow, wide = (init.dense(channels, hidden, use_bias=False, name=name)(z) for name in ("narrow", "wide"))
        return nn.sigmoid(wide - narrow)  # softmax over two

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
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
