"""Non-local block: every position aggregates all positions, weighted by similarity."""

from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.layers import init
from jaxattn.layers.norm import BatchNorm
from jaxattn.layers.pooling import max_pool_2x2


@final
class NonLocal(nn.Module):
    """y_i = x_i + norm(W_z sum_j softmax_j(theta(x_i) . phi(x_j)) g(x_j)): the embedded Gaussian.

    theta, phi, g and W_z are 1x1 with bias; the inner width is max(C // 2, 1). It stores B (HW)^2 attention weights, a
    quarter of them if keys are pooled.

    Attributes:
        code: whether to follow the authors' code: dot products divided by the square root of the inner width, keys and
            values max-pooled 2x2.
        train: whether BatchNorm uses the batch's statistics.

    Source: arXiv:1711.07971, equations 1, 3 and 6, section 3.3 and the implementation details: half the channels
    inside; BatchNorm after W_z with its scale starting at 0, so the block starts as the identity. The paper has no
    divisor and offers pooling as a trick; the authors' code has both: `nonlocal` and `nonlocal-code`. The paper adds it
    between blocks of the last stages; here, by default, it follows the blocks in the last stage of a residual network.
    """

    paper = "arXiv:1711.07971"
    formula = "x + norm(W_z Σ_j softmax_j(θ(x_i)·φ(x_j)) g(x_j))"
    usual_sites, usual_position = "last-stage", "post"
    differs = "paper: no divisor, every position a key; code: dot products / √width, keys max-pooled 2x2"

    code: bool = False
    train: bool = False

    def attention_weights(
        self, queries: Float[Array, "B HW D"], keys: Float[Array, "B keys D"]
    ) -> Float[Array, "B 1 HW keys"]:
        """Softmax over the keys [B, keys, D] for each query [B, HW, D]: [B, 1, HW, keys], rows summing to one."""
        scale = queries.shape[-1] ** -0.5 if self.code else 1
        logits = jnp.einsum("bnd,bmd->bnm", queries * scale, keys, preferred_element_type=jnp.float32)
        return nn.softmax(logits, axis=-1).astype(queries.dtype)[:, None]

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """x [B, H, W, C] plus the aggregate for each position: [B, H, W, C]."""
        channels = x.shape[-1]
        inner = max(channels // 2, 1)
        source = max_pool_2x2(x) if self.code and min(x.shape[1:3]) > 1 else x

        def embed(y, name):
            return init.dense(inner, channels, name=name)(y).reshape(y.shape[0], -1, inner)

        weights = self.attention_weights(embed(x, "theta"), embed(source, "phi"))[:, 0]
        gathered = jnp.einsum("bnm,bmd->bnd", weights, embed(source, "g")).reshape(*x.shape[:3], inner)
        update = init.dense(channels, inner, name="out")(gathered)
        update = BatchNorm(scale_init=nn.initializers.zeros, name="norm")(update, self.train)
        return x + update.astype(x.dtype)
