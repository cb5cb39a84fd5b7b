"""Coordinate attention: one gate by row and one by column, computed from a shared layer."""

from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.layers import init
from jaxattn.layers.norm import BatchNorm


@final
class _Axis(nn.Module):
    """sigmoid(W f + b): the gate along one axis."""

    channels: int

    @nn.compact
    def gate(self, features: Float[Array, "B h w F"]) -> Float[Array, "B h w C"]:
        return nn.sigmoid(init.dense(self.channels, features.shape[-1], name="excite")(features))


@final
class CoordinateAttention(Gate):
    """y = x g_h g_w with g_h = sigmoid(F_h f_h) by row and g_w = sigmoid(F_w f_w) by column.

    f = hard_swish(norm(F_1 z)). z holds the means over W, one for each row, then the means over H, one for each column;
    f_h and f_w are the two parts of f. All three layers are 1x1 with bias.

    Attributes:
        reduction: r; F_1 has max(C // r, minimum) outputs.
        minimum: the fewest outputs of F_1.
        train: whether BatchNorm uses the batch's statistics.

    Source: arXiv:2103.02907, equations 4-9. The paper's width is C / r, the authors' code keeps at least 8: `coord`
    and `coord-code`, which differ wherever C / r < 8. The paper does not name the activation; hard swish is the code's.
    """

    paper = "arXiv:2103.02907"
    formula = "x σ(F_h f_h) σ(F_w f_w), f = hswish(norm(F_1 [mean_W(x), mean_H(x)]))"
    differs = "paper: C / r hidden channels; code: at least 8"

    reduction: int = 16
    minimum: int = 1
    train: bool = False

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Weights in (0, 1), [B, H, W, C], of x [B, H, W, C]: the product of [B, H, 1, C] and [B, 1, W, C]."""
        _, height, _, channels = x.shape
        hidden = max(channels // self.reduction, self.minimum)
        means = jnp.concatenate([jnp.mean(x, axis=2), jnp.mean(x, axis=1)], axis=1)[:, :, None, :]
        features = init.dense(hidden, channels, name="squeeze")(means)
        features = nn.hard_swish(BatchNorm(name="norm")(features, self.train))
        rows, columns = features[:, :height], features[:, height:].swapaxes(1, 2)
        return _Axis(channels, name="height").gate(rows) * _Axis(channels, name="width").gate(columns)
