"""Pooling and maxima equal the plain forms, in value and gradient; of equal values the first gets the gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import SHAPES, assert_same, draw
from flax import linen as nn

from jaxattn.attention import resolve
from jaxattn.layers.pooling import gated_max_pool_2x2, max_first, max_pool_2x2
from jaxattn.networks import CNN
from jaxattn.runtime import QUICK_COMPILE


@pytest.mark.parametrize("shape", SHAPES)
def test_max_pool_equals_reduce_window(shape):
    assert_same(max_pool_2x2, lambda x: nn.max_pool(x, (2, 2), (2, 2)), draw(*shape))


@pytest.mark.parametrize("gate", [(4, 1, 1, 5), (1, 1, 1, 5), (4, 8, 9, 1), (4, 1, 1, 1)])
def test_gated_max_pool_equals_a_product_and_a_pool(gate):
    def plain(x, gate):
        return nn.max_pool(x * gate, (2, 2), (2, 2))

    assert_same(gated_max_pool_2x2, plain, draw(4, 8, 9, 5), draw(*gate, seed=1))  # negative weights, too


def test_max_pool_gives_the_gradient_of_a_tie_to_the_first():
    windows = np.array([[[1, 1], [1, 1]], [[0, 1], [1, 0]], [[0, 0], [2, 2]]], np.float32)[..., None]
    gradient = jax.grad(lambda x: max_pool_2x2(x).sum())(windows)
    np.testing.assert_array_equal(gradient[..., 0], [[[1, 0], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [1, 0]]])


def test_gradients_are_finite_however_little_xla_optimises():
    """Without optimisation XLA computes a pool's input twice, with other rounding; nothing then equals the maximum."""
    model = CNN(widths=(8, 16), hidden=16, dropout=0.0, attention=resolve("se"))
    images = jnp.asarray(draw(8, 32, 32, 3), jnp.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images)

    def loss(params):
        return model.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])[0].std()

    plain, bare = (
        jax.jit(jax.grad(loss), compiler_options=options)(variables["params"]) for options in ({}, QUICK_COMPILE)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), plain, bare)  # float32, one pixel may flip


@pytest.mark.parametrize("axis", [(1, 2), (3,), (1,)])
def test_max_first_equals_max(axis):
    assert_same(lambda x: max_first(x, axis), lambda x: x.max(axis, keepdims=True), draw(3, 7, 5, 4))


def test_max_first_gives_the_gradient_of_a_tie_to_the_first():
    x = jnp.array([[0.0, 2], [2, 1]]).reshape(1, 2, 2, 1)
    gradient = jax.grad(lambda x: max_first(x, (1, 2)).sum())(x)
    np.testing.assert_array_equal(gradient[0, ..., 0], [[0, 1], [0, 0]])
