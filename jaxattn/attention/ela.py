"""Efficient local attention: one gate by row and one by column, each from a 1-D convolution along its axis."""

import math
from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.layers import init


@final
class _Axis(nn.Module):
    """sigmoid(norm(conv1d(z))): the gate along one axis; each channel has its own kernel."""

    axis: int
    kernel: int
    groups: int

    @nn.compact
    def gate(self, z: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
        count, channels, reach = z.shape[self.axis], z.shape[-1], self.kernel // 2
        weights = self.param("kernel", init.uniform(self.kernel), (self.kernel, channels))
        padded = jnp.pad(z, [(reach, reach) if i == self.axis else (0, 0) for i in range(4)])
        taps = (jax.lax.slice_in_dim(padded, i, i + count, axis=self.axis) for i in range(self.kernel))
        mixed = sum(tap * weight[None, None, None] for tap, weight in zip(taps, weights, strict=True))
        groups = math.gcd(channels, self.groups)
        return nn.sigmoid(nn.GroupNorm(groups, epsilon=1e-5, use_fast_variance=False, name="norm")(mixed))


@final
class EfficientLocalAttention(Gate):
    """y = x g_h g_w with g_h = sigmoid(norm(F_h z_h)) by row and g_w = sigmoid(norm(F_w z_w)) by column.

    z_h holds the means over W, one for each row, z_w those over H. F_h and F_w are 1-D convolutions along the axis,
    channel by channel, without bias; norm is GroupNorm.

    Attributes:
        kernel: width of the convolutions in positions, odd.
        groups: of the norm; gcd(C, groups) of them are used, so that they divide C.

    Source: arXiv:2403.01123, in the version ELA-B: kernel 7, as many groups as channels in the
    convolutions, 16 in the norm. Here F_h and F_w, and the norms after them, have separate weights; PyTorch versions
    in use share one between both axes.
    """

    paper = "arXiv:2403.01123"
    formula = "x σ(norm(conv1d_7(mean_W(x)))) σ(norm(conv1d_7(mean_H(x))))"
    differs = ""

    kernel: int = 7
    groups: int = 16

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Weights in (0, 1), [B, H, W, C], of x [B, H, W, C]: the product of [B, H, 1, C] and [B, 1, W, C].

        Raises:
            ValueError: if the kernel size is not odd and positive.
        """
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd and positive, got {self.kernel}")
        rows = _Axis(1, self.kernel, self.groups, name="height").gate(jnp.mean(x, axis=2, keepdims=True))
        return rows * _Axis(2, self.kernel, self.groups, name="width").gate(jnp.mean(x, axis=1, keepdims=True))
