"""EMA: in each group of channels, a branch of row and column gates and one of 3x3 windows weight each other."""

import math
from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.layers import init
from jaxattn.layers.grouped_convolution import conv_general_dilated
from jaxattn.layers.norm import instance_norm


@final
class EfficientMultiScaleAttention(Gate):
    """Gate sigmoid(softmax(mean(u)) . v + softmax(mean(v)) . u) for each group and position, products over channels.

    u = norm(x sigmoid(W z_h + b) sigmoid(W z_w + b)), z_h the means over W, z_w those over H, norm over the positions
    of each channel of an image; v = conv3x3(x), within the group. Means of u and v are over all positions, softmax over
    the D channels of a group. All groups share all parameters.

    Attributes:
        groups: of channels; gcd(C, groups) of them are used, so that they divide C.

    Source: arXiv:2305.13563, section 3, with the 32 groups of the authors' code. With C = 32 each channel is its own
    group, and both softmaxes are 1. The mean of a normalised channel is the norm's bias, so softmax(mean(u)) is the
    softmax of the biases, and the same for every image.
    """

    paper = "arXiv:2305.13563"
    formula = "x σ(softmax(mean(u)) · v + softmax(mean(v)) · u), u = norm(x σ(W z_h) σ(W z_w)), v = conv3x3(x)"
    differs = ""

    groups: int = 32

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Weights in (0, 1), [B, H, W, C], of x [B, H, W, C]; the same for all channels of a group."""
        batch, height, width, channels = x.shape
        groups = math.gcd(channels, self.groups)
        depth = channels // groups
        norm_scale = self.param("norm_scale", nn.initializers.ones, (depth,))
        norm_bias = self.param("norm_bias", nn.initializers.zeros, (depth,))

        means = jnp.concatenate([jnp.mean(x, axis=2), jnp.mean(x, axis=1)], axis=1)
        gates = init.dense(depth, depth, name="mix")(means.reshape(batch, height + width, groups, depth))
        gates = nn.sigmoid(gates).reshape(means.shape)
        weighted = x * gates[:, :height, None] * gates[:, None, height:]
        u = instance_norm(weighted) * _tiled(norm_scale, groups) + _tiled(norm_bias, groups)
        v = self._convolution(x, groups, depth)
        by_v = nn.softmax(jnp.mean(v, axis=(1, 2)).reshape(batch, 1, 1, groups, depth))
        u, v = (one.reshape(batch, height, width, groups, depth) for one in (u, v))
        weights = nn.sigmoid(jnp.sum(nn.softmax(norm_bias)[None, None, None, None] * v + by_v * u, axis=-1))
        return jnp.repeat(weights, depth, axis=-1)

    def _convolution(self, x, groups, depth):
        """conv3x3(x), the same in each group."""
        start = init.uniform(9 * depth)
        kernel = self.param("kernel", start, (3, 3, depth, depth))
        bias = self.param("bias", start, (depth,))
        y = conv_general_dilated(
            x,
            jnp.tile(kernel, groups).astype(x.dtype),
            (1, 1),
            ((1, 1), (1, 1)),
            rhs_dilation=(1, 1),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )
        return y + _tiled(bias, groups)


def _tiled(values, groups):
    """The parameters of one group, [D], repeated for all groups: [1, 1, 1, C]."""
    return jnp.tile(values, groups)[None, None, None]
