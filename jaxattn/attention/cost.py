"""What a module costs: parameters and multiply-adds, from its shapes alone."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

ELEMENTWISE = dict.fromkeys(("abs", "add", "div", "integer_pow", "max", "min", "mul", "neg", "square", "sub"), 1)
ELEMENTWISE["logistic"] = 3  # 1 / (1 + exp(-x)) without the exponential
REDUCTIONS = {"reduce_max", "reduce_min", "reduce_sum"}


class Cost(NamedTuple):
    """What a module costs.

    Attributes:
        parameters: numbers it trains.
        multiply_adds: half its floating-point operations for one image, in evaluation. A product and the sum it goes
            into count one, in layers, in convolutions (padding left out) and in products of matrices; other sums,
            products and maxima count one half each; exponentials, roots and comparisons count nothing.
    """

    parameters: int
    multiply_adds: float


def cost(module: nn.Module, shape: tuple[int, int, int]) -> Cost:
    """Cost of a module that is given a map of this shape [H, W, C]; nothing is computed but shapes."""
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), image)
    trained = sum(leaf.size for leaf in jax.tree.leaves(variables.get("params", {})))
    return Cost(trained, operations(module.apply, variables, image) / 2)


def operations(function: Callable, *arguments) -> int:
    """Floating-point operations of function(*arguments), counted in its jaxpr; exponentials and roots are none."""
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr) -> int:
    return sum(_count_equation(equation) for equation in jaxpr.eqns)


def _count_equation(equation) -> int:
    name, parameters = equation.primitive.name, equation.params
    operands = [variable.aval for variable in equation.invars]
    result = equation.outvars[0].aval
    if name == "dot_general":
        contracted = parameters["dimension_numbers"][0][0]
        return 2 * result.size * math.prod(operands[0].shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        return 2 * _convolution_products(operands[0], operands[1], result, parameters)
    if name in REDUCTIONS:
        return operands[0].size - result.size
    if name in ELEMENTWISE:
        return ELEMENTWISE[name] * result.size if jnp.issubdtype(result.dtype, jnp.floating) else 0
    if "branches" in parameters:  # by platform, the default last
        return _count(parameters["branches"][-1].jaxpr)
    return sum(_count(inner) for inner in map(_jaxpr_of, parameters.values()) if inner is not None)


def _jaxpr_of(parameter):
    parameter = getattr(parameter, "jaxpr", parameter)
    return parameter if hasattr(parameter, "eqns") else None


def _convolution_products(image, kernel, result, parameters) -> int:
    """Products of a convolution: each output takes its channels' taps that fall inside the image."""
    layout = parameters["dimension_numbers"]
    taps = 1
    for i, (low, _) in enumerate(parameters["padding"]):
        size = image.shape[layout.lhs_spec[2 + i]]
        stride, dilation = parameters["window_strides"][i], parameters["rhs_dilation"][i]
        outputs = range(result.shape[layout.out_spec[2 + i]])
        offsets = range(kernel.shape[layout.rhs_spec[2 + i]])
        taps *= sum(0 <= o * stride - low + k * dilation < size for o in outputs for k in offsets)
    batch, features = (result.shape[layout.out_spec[i]] for i in (0, 1))
    return batch * features * taps * kernel.shape[layout.rhs_spec[1]]
