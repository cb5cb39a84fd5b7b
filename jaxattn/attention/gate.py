"""The contract of an attention module that weighs its input."""

import jax
from flax import linen as nn


class Gate(nn.Module):
    """Attention as a product: the output is the input times weights computed from it.

    A module writes only `gate`; `capture_intermediates` on that name then gives exactly the weights to draw.
    """

    def gate(self, x: jax.Array) -> jax.Array:
        """Weights of x [B, H, W, C] that broadcast to it: [B, 1, 1, C] by channel, [B, H, W, 1] by place."""
        raise NotImplementedError

    def __call__(self, x: jax.Array) -> jax.Array:
        """x [B, H, W, C] times its gate: [B, H, W, C], in the type of x whatever the gate was computed in."""
        return x * self.gate(x).astype(x.dtype)
