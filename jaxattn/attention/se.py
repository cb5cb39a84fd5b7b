"""Squeeze-and-excitation: channels weighed by a small network that sees their means."""

import functools
from collections.abc import Callable
from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn import init
from jaxattn.attention.gate import Gate

plain_layer = functools.partial(init.dense, use_bias=False)


def squeeze_excitation(x: jax.Array, reduction: int, layer: Callable[..., nn.Module] = plain_layer) -> jax.Array:
    """sigmoid(W2 relu(W1 mean(x))) of x [B, H, W, C]: the common part of `se` and of the controls.

    Args:
        x: the map.
        reduction: r; W1 is [C, max(C // r, 1)].
        layer: makes W1 and W2 from `(outputs, inputs, name=)`; they belong to the module that calls this.

    Returns:
        Weights in (0, 1), [B, 1, 1, C].
    """
    channels = x.shape[-1]
    hidden = max(channels // reduction, 1)
    squeezed = jnp.mean(x, axis=(1, 2), keepdims=True)
    squeezed = nn.relu(layer(hidden, channels, name="squeeze")(squeezed))
    return nn.sigmoid(layer(channels, hidden, name="excite")(squeezed))


@final
class SqueezeExcitation(Gate):
    """Channel gate s = sigmoid(W2 relu(W1 z)), z the mean of x over H and W.

    Attributes:
        reduction: r; W1 is [C, max(C // r, 1)].

    Source: arXiv:1709.01507, equations 2-4. As in the common PyTorch tutorial: neither layer has a bias, at least
    one hidden unit, and weights drawn as PyTorch draws them.
    """

    paper = "arXiv:1709.01507"
    formula = "x σ(W2 relu(W1 mean(x)))"
    differs = ""

    reduction: int = 16

    @nn.compact
    def gate(self, x: jax.Array) -> jax.Array:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C]."""
        return squeeze_excitation(x, self.reduction)
