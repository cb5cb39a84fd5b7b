"""Control gates: each lacks one property of attention, to separate its effect from that of added capacity."""

from typing import final

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.attention.se import excitation
from jaxattn.layers import init


@final
class Constant(Gate):
    """Channel gate s = sigmoid(b): learned, but the same for every image.

    Source: none; squeeze-and-excitation without its input. b starts at 0.
    """

    paper = "control"
    formula = "x σ(b)"
    differs = ""

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "1 1 1 C"]:
        """Weights in (0, 1), [1, 1, 1, C], of x [B, H, W, C]."""
        return nn.sigmoid(self.param("bias", nn.initializers.zeros, x.shape[-1:]))[None, None, None, :]


@final
class _Frozen(nn.Module):
    """A dense layer without bias, initialised as `init.dense` is, whose weights receive no gradient."""

    features: int
    inputs: int

    @nn.compact
    def __call__(self, x: Float[Array, "*N inputs"]) -> Float[Array, "*N features"]:
        # Not named "kernel": the optimiser applies weight decay to kernels.
        frozen = self.param("frozen", init.uniform(self.inputs), (self.inputs, self.features))
        return jnp.dot(x, jax.lax.stop_gradient(frozen))


@final
class Random(Gate):
    """Squeeze-and-excitation whose weights are frozen at initialisation; gradients still flow to x.

    Attributes:
        reduction: r of the gate, as in `se`.

    Source: none; a gate that sees its input but cannot learn.
    """

    paper = "control"
    formula = "x σ(W2 relu(W1 mean(x))), W1 and W2 never trained"
    differs = ""

    reduction: int = 16

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C]."""
        return excitation(jnp.mean(x, axis=(1, 2), keepdims=True), self.reduction, layer=_Frozen)


@final
class Shuffled(Gate):
    """Squeeze-and-excitation that gives each image the gate of the previous image in the batch, the first the last's.

    Attributes:
        reduction: r of the gate, as in `se`.

    Source: none; a gate that learns and varies, but does not depend on its own image, in training or in evaluation.
    Its output depends on the rest of the batch. In a batch of one, the image keeps its own gate.
    """

    paper = "control"
    formula = "x_i times the se gate of x_(i-1)"
    differs = ""

    reduction: int = 16

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C], shifted by one image."""
        return jnp.roll(excitation(jnp.mean(x, axis=(1, 2), keepdims=True), self.reduction), 1, axis=0)
