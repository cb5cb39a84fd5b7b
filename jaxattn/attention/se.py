"""Squeeze-and-excitation: channels weighted by a small network that sees their means."""

import functools
from collections.abc import Callable
from typing import final

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.layers import init

plain_layer = functools.partial(init.dense, use_bias=False)


def excitation(
    z: Float[Array, "B h w C"], reduction: int, layer: Callable[..., nn.Module] = plain_layer
) -> Float[Array, "B h w C"]:
    """sigmoid(W2 relu(W1 z)) at each position of z [B, h, w, C]: shared by `se`, its controls, `nosqueeze` and `fca`.

    Args:
        z: channel descriptors, [B, h, w, C].
        reduction: r, channels per hidden unit; W1 is [C, max(C // r, 1)].
        layer: makes W1 and W2 from `(outputs, inputs, name=)`; they become submodules of the calling module.

    Returns:
        Weights in (0, 1), [B, h, w, C].

    Source: arXiv:1709.01507, equation 3.
    """
    channels = z.shape[-1]
    hidden = max(channels // reduction, 1)
    squeezed = nn.relu(layer(hidden, channels, name="squeeze")(z))
    return nn.sigmoid(layer(channels, hidden, name="excite")(squeezed))


@final
class SqueezeExcitation(Gate):
    """Channel gate s = sigmoid(W2 relu(W1 z)), z the mean of x over H and W.

    Attributes:
        reduction: r; W1 is [C, max(C // r, 1)].

    Source: arXiv:1709.01507, equations 2-4. As in the common PyTorch tutorial: no layer has a bias, there is at
    least one hidden unit, and weights are initialised as PyTorch does.
    """

    paper = "arXiv:1709.01507"
    formula = "x σ(W2 relu(W1 mean(x)))"
    differs = ""

    reduction: int = 16

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C]."""
        return excitation(jnp.mean(x, axis=(1, 2), keepdims=True), self.reduction)
