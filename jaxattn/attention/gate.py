"""The base class of attention modules that multiply their input by weights."""

from flax import linen as nn
from jax import Array
from jaxtyping import Float


class Gate(nn.Module):
    """Multiplicative attention: the output is the input times weights computed from it.

    A subclass defines only `gate`. Linen's `capture_intermediates`, filtered by that name, then returns exactly the
    weights to plot.
    """

    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "..."]:
        """Weights of x [B, H, W, C] that broadcast to it: [B, 1, 1, C] by channel, [B, H, W, 1] by position.

        Raises:
            NotImplementedError: if a subclass does not define it.
        """
        raise NotImplementedError

    def __call__(self, x: Float[Array, "B H W C"], **mode: bool) -> Float[Array, "B H W C"]:
        """x [B, H, W, C] times its gate: [B, H, W, C], in the dtype of x whatever the dtype of the gate.

        `mode` holds the arguments that tell `gate` whether it trains, such as `train` (see `attention.mode`).
        """
        return x * self.gate(x, **mode).astype(x.dtype)
