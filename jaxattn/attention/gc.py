"""Global context: one attention map pools all positions into a context, which is fused into every position."""

from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.layers import init


@final
class _Context(nn.Module):
    """The pooled and transformed context, relu(norm(W1 sum_j a_j x_j)), with one weight a_j for each position."""

    reduction: int

    def pooling_weights(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W 1"]:
        """Softmax over the positions of W_k x, for x [B, H, W, C]: [B, H, W, 1], summing to one."""
        logits = init.dense(1, x.shape[-1], use_bias=False, name="key")(x)
        return nn.softmax(logits.astype(jnp.float32), axis=(1, 2))

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 hidden"]:
        channels = x.shape[-1]
        context = jnp.einsum("bhwc,bhwk->bkc", x, self.pooling_weights(x))[:, :, None, :]
        context = init.dense(max(channels // self.reduction, 1), channels, name="squeeze")(context)
        return nn.relu(nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name="norm")(context))


@final
class GlobalContext(nn.Module):
    """y = x + W2 relu(norm(W1 sum_j softmax_j(W_k x_j) x_j)), the sum over all positions, norm LayerNorm.

    Attributes:
        reduction: r; W1 is [C, max(C // r, 1)].

    Source: arXiv:1904.11492, equation 5. As in the authors' code, W1 and W2 have biases and W2 starts at 0, so the
    block starts as the identity. W_k has no bias, since the softmax would cancel it. With one hidden unit LayerNorm
    outputs only its bias; with two, only which of them is larger.
    """

    paper = "arXiv:1904.11492"
    formula = "x + W2 relu(norm(W1 Σ_j softmax_j(W_k x_j) x_j))"
    differs = "paper: added to x; timm: a gate"

    reduction: int = 16

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """x [B, H, W, C] plus the transformed context, the same at every position: [B, H, W, C]."""
        context = _Context(self.reduction, name="context")(x)
        return x + nn.Dense(x.shape[-1], kernel_init=nn.initializers.zeros, name="excite")(context).astype(x.dtype)


@final
class GlobalContextScale(Gate):
    """Channel gate s = sigmoid(W2 relu(norm(W1 sum_j softmax_j(W_k x_j) x_j))), the sum over all positions.

    Attributes:
        reduction: r; W1 is [C, max(C // r, 1)].

    Source: arXiv:1904.11492, the scale fusion of its ablation and timm's default; `gc` adds. W2 is initialised like
    any other layer.
    """

    paper = GlobalContext.paper
    formula = "x σ(W2 relu(norm(W1 Σ_j softmax_j(W_k x_j) x_j)))"
    differs = GlobalContext.differs

    reduction: int = 16

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C]."""
        context = _Context(self.reduction, name="context")(x)
        return nn.sigmoid(init.dense(x.shape[-1], context.shape[-1], name="excite")(context))
