"""Multi-head self-attention over the map with relative positions in two dimensions."""

from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn import init


@final
class MultiHeadSelfAttention(nn.Module):
    """y_i = sum_j softmax_j(q_i . k_j + q_i . (r^h_(j - i) + r^w_(j - i))) v_j for each head, heads side by side.

    q, k and v are 1x1 without bias; r^h [2H - 1, D] and r^w [2W - 1, D], by row and by column of j - i, are shared by
    the heads, D = C / heads. The tables tie the parameters to the map's size; without them pixels may be moved at will.
    It holds B heads (HW)^2 numbers.

    Attributes:
        heads: must divide C.
        positions: whether the r are there.
        scaled: divide q by the root of D.

    Raises:
        ValueError: where the heads do not divide C.

    Source: arXiv:2101.11605, figure 4: logits q k^T + q r^T, four heads. The figure has no divisor, the authors'
    listing scales q: `mhsa` and `mhsa-code`. The paper puts it into a residual block; here it stands alone.
    """

    paper = "arXiv:2101.11605"
    formula = "softmax(q kᵀ + q (r_h + r_w)ᵀ) v, 4 heads"
    differs = "paper: no divisor; listing: q over √D"

    heads: int = 4
    positions: bool = True
    scaled: bool = False

    def weights(self, queries: jax.Array, keys: jax.Array, height: int, width: int) -> jax.Array:
        """How much each place takes of each other: [B, heads, HW, HW], rows summing to one; both [B, HW, heads, D]."""
        logits = jnp.einsum("bnhd,bmhd->bhnm", queries, keys, preferred_element_type=jnp.float32)
        if self.positions:
            logits = logits + self._relative(queries, height, width)
        return nn.softmax(logits, axis=-1).astype(queries.dtype)

    def _relative(self, queries, height, width):
        depth = queries.shape[-1]
        start = nn.initializers.normal(depth**-0.5)
        by_row = self.param("rows", start, (2 * height - 1, depth))[_offsets(height)]
        by_column = self.param("columns", start, (2 * width - 1, depth))[_offsets(width)]
        grid = queries.reshape(queries.shape[0], height, width, self.heads, depth)
        rows = jnp.einsum("bijhd,ikd->bhijk", grid, by_row, preferred_element_type=jnp.float32)
        columns = jnp.einsum("bijhd,jld->bhijl", grid, by_column, preferred_element_type=jnp.float32)
        logits = rows[..., :, None] + columns[..., None, :]
        return logits.reshape(*logits.shape[:2], height * width, height * width)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] of what each place of x [B, H, W, C] gathered."""
        _, height, width, channels = x.shape
        if channels % self.heads:
            raise ValueError(f"channels must be a multiple of {self.heads} heads, got {channels}")

        def split(name):
            y = init.dense(channels, channels, use_bias=False, name=name)(x)
            return y.reshape(x.shape[0], height * width, self.heads, channels // self.heads)

        queries, keys, values = split("query"), split("key"), split("value")
        if self.scaled:
            queries = queries * (channels // self.heads) ** -0.5
        weights = self.weights(queries, keys, height, width)
        return jnp.einsum("bhnm,bmhd->bnhd", weights, values).reshape(x.shape).astype(x.dtype)


def _offsets(size: int) -> jax.Array:
    """Row of the table for each pair (i, k) of places on one axis: k - i + size - 1, [size, size]."""
    places = jnp.arange(size)
    return places[None, :] - places[:, None] + size - 1
