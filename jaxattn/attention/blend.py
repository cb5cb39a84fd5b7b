"""Attention that starts as the identity, for networks that are already trained."""

import functools
from collections.abc import Callable
from typing import final

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention import mode
from jaxattn.attention.gate import Gate
from jaxattn.attention.registry import Attention


@final
class BlendedGate(Gate):
    """The gate 1 + a (g - 1), with g the gate of another module, and a a learned factor that starts at 0.

    Attributes:
        module: a Linen class that keeps the call of `Gate`, or a partial of one.

    Source: none; the factor of arXiv:2003.04887, equation 1, applied to a gate.
    """

    module: Callable[..., nn.Module]

    @nn.compact
    def gate(self, x: Float[Array, "B H W C"], train: bool = False) -> Float[Array, "..."]:
        """Weights of x [B, H, W, C], which broadcast to it."""
        module = mode.create(self.module, train, "module")
        factor = self.param("factor", nn.initializers.zeros, ())
        return 1 + factor * (mode.gate(module, x, train) - 1)


@final
class Blended(nn.Module):
    """x + a (y - x), with y the output of another module, and a a learned factor that starts at 0.

    Attributes:
        module: a Linen class or a partial of one.

    Source: as for `BlendedGate`.
    """

    module: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], train: bool = False) -> Float[Array, "B H W C"]:
        """The blend, [B, H, W, C], for x [B, H, W, C]."""
        y = mode.attend(mode.create(self.module, train, "module"), x, train)
        return x + self.param("factor", nn.initializers.zeros, ()) * (y - x)


def blended(module: Attention) -> Attention:
    """A module that starts as the identity and learns how much of another module to blend in; None for None."""
    if module is None:
        return None
    kind = module.func if isinstance(module, functools.partial) else module
    is_gate = isinstance(kind, type) and kind.__call__ is Gate.__call__
    return functools.partial(BlendedGate if is_gate else Blended, module)
