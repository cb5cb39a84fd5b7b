"""Multi-head self-attention over the map with relative positions in two dimensions."""

from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Int

from jaxattn.layers import init


@final
class MultiHeadSelfAttention(nn.Module):
    """y_i = sum_j softmax_j(q_i . k_j + q_i . (r^h_(j - i) + r^w_(j - i))) v_j for each head; heads are concatenated.

    q, k and v are 1x1 without bias; r^h [2H - 1, D] and r^w [2W - 1, D], by row and by column of j - i, are shared by
    the heads, D = C / heads. These tables fix the size of the map. Without them the module is equivariant to
    permutations of the positions. It stores B heads (HW)^2 attention weights.

    Attributes:
        heads: must divide C.
        positions: whether to add the relative positions, r^h and r^w.
        scaled: whether to divide q by sqrt(D).

    Raises:
        ValueError: if the heads do not divide C.

    Source: arXiv:2101.11605, figure 4: logits q k^T + q r^T, four heads. The figure has no divisor, the authors'
    listing scales q: `mhsa` and `mhsa-code`. The paper replaces the 3x3 convolutions of the last stage with it; here,
    by default, it replaces the second convolution of each block in the last stage of a residual network.
    """

    paper = "arXiv:2101.11605"
    formula = "softmax(q kᵀ + q (r_h + r_w)ᵀ) v, 4 heads"
    usual_sites, usual_position = "last-stage", "conv2"
    differs = "paper: no divisor; listing: q / √D"

    heads: int = 4
    positions: bool = True
    scaled: bool = False

    def attention_weights(
        self, queries: Float[Array, "B HW heads D"], keys: Float[Array, "B HW heads D"], height: int, width: int
    ) -> Float[Array, "B heads HW HW"]:
        """Softmax over the keys for each query, both [B, HW, heads, D]: [B, heads, HW, HW], rows summing to one."""
        logits = jnp.einsum("bnhd,bmhd->bhnm", queries, keys, preferred_element_type=jnp.float32)
        if self.positions:
            logits = logits + self._relative(queries, height, width)
        return nn.softmax(logits, axis=-1).astype(queries.dtype)

    def _relative(
        self, queries: Float[Array, "B HW heads D"], height: int, width: int
    ) -> Float[Array, "B heads HW HW"]:
        """q_i . (r^h_(j - i) + r^w_(j - i)) for queries [B, HW, heads, D]: [B, heads, HW, HW]."""
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
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """The weighted sum of the values for each position of x [B, H, W, C]: [B, H, W, C]."""
        _, height, width, channels = x.shape
        if channels % self.heads:
            raise ValueError(f"channels must be a multiple of {self.heads} heads, got {channels}")

        def split(name):
            y = init.dense(channels, channels, use_bias=False, name=name)(x)
            return y.reshape(x.shape[0], height * width, self.heads, channels // self.heads)

        queries, keys, values = split("query"), split("key"), split("value")
        if self.scaled:
            queries = queries * (channels // self.heads) ** -0.5
        weights = self.attention_weights(queries, keys, height, width)
        return jnp.einsum("bhnm,bmhd->bnhd", weights, values).reshape(x.shape).astype(x.dtype)


def _offsets(size: int) -> Int[Array, "size size"]:
    """Row of the table for each pair (i, k) of positions on one axis: k - i + size - 1, [size, size]."""
    positions = jnp.arange(size)
    return positions[None, :] - positions[:, None] + size - 1
