"""Compares a function with a plain form of it: values and gradients, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
from compat import enable_x64

SHAPES = [(4, 8, 8, 5), (3, 7, 5, 3), (1, 2, 3, 1)]  # of maps: even, odd, tiny


def value_and_gradients(function, *inputs):
    """The value, and the gradients of its sum under random weights (so that no two outputs have equal gradients)."""

    def weighted(*inputs):
        value = function(*inputs)
        return jnp.sum(value * np.random.default_rng(9).standard_normal(value.shape)), value

    gradients, value = jax.jit(jax.grad(weighted, argnums=range(len(inputs)), has_aux=True))(*inputs)
    return value, gradients


def assert_same(ours, plain, *inputs, tolerance=1e-10):
    with enable_x64():  # float64, so that a wrong term cannot hide behind rounding
        inputs = [np.asarray(x, np.float64) for x in inputs]
        ours, plain = value_and_gradients(ours, *inputs), value_and_gradients(plain, *inputs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), ours, plain)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def plain_conv(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
