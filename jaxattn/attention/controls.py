"""Controls: gates that lack one thing attention has, to tell attention from capacity."""

from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn import init
from jaxattn.attention.gate import Gate
from jaxattn.attention.se import squeeze_excitation


@final
class Constant(Gate):
    """Channel gate s = sigmoid(b): learned, but the same for every image.

    Source: none; what is left of squeeze-and-excitation without its input. b starts at 0.
    """

    paper = "control"
    formula = "x σ(b)"
    differs = ""

    @nn.compact
    def gate(self, x: jax.Array) -> jax.Array:
        """Weights in (0, 1), [1, 1, 1, C], of x [B, H, W, C]."""
        return nn.sigmoid(self.param("bias", nn.initializers.zeros, x.shape[-1:]))[None, None, None, :]


@final
class _Frozen(nn.Module):
    """A layer without bias, drawn as `init.dense` draws it, whose weights take no gradient."""

    features: int
    inputs: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # Not called "kernel": the optimiser decays those.
        frozen = self.param("frozen", init.uniform(self.inputs), (self.inputs, self.features))
        return jnp.dot(x, jax.lax.stop_gradient(frozen))


@final
class Random(Gate):
    """Squeeze-and-excitation whose layers stay as they were drawn: no gradient reaches them, x has one through them.

    Attributes:
        reduction: r of the gate, as in `se`.

    Source: none; a gate that sees its input but cannot learn.
    """

    paper = "control"
    formula = "se, its weights never trained"
    differs = ""

    reduction: int = 16

    @nn.compact
    def gate(self, x: jax.Array) -> jax.Array:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C]."""
        return squeeze_excitation(x, self.reduction, layer=_Frozen)


@final
class Shuffled(Gate):
    """Squeeze-and-excitation where each image gets the gate of the one before it in the batch, the first the last's.

    Attributes:
        reduction: r of the gate, as in `se`.

    Source: none; a gate that learns and varies but knows nothing of its image, in training and in evaluation. What it
    gives depends on the batch; alone in it, an image keeps its own gate.
    """

    paper = "control"
    formula = "x_i times the se gate of x_(i-1)"
    differs = ""

    reduction: int = 16

    @nn.compact
    def gate(self, x: jax.Array) -> jax.Array:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C], moved by one image."""
        return jnp.roll(squeeze_excitation(x, self.reduction), 1, axis=0)
