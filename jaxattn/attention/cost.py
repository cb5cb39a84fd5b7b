"""What a module costs: parameters, and the multiply-adds that XLA's cost analysis counts."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn


class Cost(NamedTuple):
    """The cost of a module.

    Attributes:
        parameters: number of its trainable parameters.
        multiply_adds: half the floating-point operations that XLA's cost analysis counts for one image in evaluation,
            in the program for an accelerator (CPUs compute some convolutions in other ways).
    """

    parameters: int
    multiply_adds: float


def cost(module: nn.Module, shape: tuple[int, int, int]) -> Cost:
    """Cost of a module for an input of this shape [H, W, C]; only shapes are computed."""
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), image)
    return Cost(parameters(variables.get("params", {})), operations(module.apply, variables, image) / 2)


def parameters(params: Any) -> int:
    """How many numbers a tree of arrays [...] holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def operations(function: Callable, *arguments: Any) -> float:
    """Floating-point operations of function(*arguments), counted by XLA without compiling."""
    lowered = jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",))
    return lowered.cost_analysis().get("flops", 0.0)
