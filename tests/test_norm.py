"""Batch normalisation equals its definition, and keeps its statistics as PyTorch does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import SHAPES, assert_same, draw

from jaxattn.layers.norm import BatchNorm, batch_norm


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_equals_its_definition(shape):
    def plain(x, scale, bias):
        mean, var = x.mean(axis=(0, 1, 2), keepdims=True), x.var(axis=(0, 1, 2), keepdims=True)
        return (x - mean) / jnp.sqrt(var + 1e-5) * scale.reshape(1, 1, 1, -1) + bias.reshape(1, 1, 1, -1)

    channels = shape[-1]
    assert_same(
        lambda *inputs: batch_norm(*inputs, 1e-5)[0],
        plain,
        draw(*shape),
        draw(channels, seed=1),
        draw(channels, seed=2),
        tolerance=1e-8,
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_with_a_relu_equals_both(shape):
    channels = shape[-1]
    assert_same(
        lambda *inputs: batch_norm(*inputs, 1e-5, True)[0],
        lambda *inputs: jax.nn.relu(batch_norm(*inputs, 1e-5)[0]),
        draw(*shape),
        draw(channels, seed=1),
        draw(channels, seed=2),
        tolerance=1e-9,
    )


def test_a_norm_without_a_scale_has_that_of_one():
    x = jnp.asarray(draw(4, 8, 8, 5), jnp.float32)
    for train in (True, False):
        norms = [BatchNorm(use_scale=use_scale) for use_scale in (True, False)]
        variables = [norm.init(jax.random.key(0), x, train) for norm in norms]
        assert set(variables[1]["params"]) == {"bias"}
        outputs = [
            norm.apply(v, x, train, mutable=["batch_stats"])[0] for norm, v in zip(norms, variables, strict=True)
        ]
        np.testing.assert_array_equal(*outputs)


def test_batch_norm_gives_the_moments_of_the_batch():
    x = jnp.asarray(draw(4, 8, 8, 5), jnp.float32)
    _, mean, var = batch_norm(x, jnp.ones(5), jnp.zeros(5), 1e-5)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(var, x.var(axis=(0, 1, 2)), rtol=1e-5)


def test_running_statistics_move_a_tenth_of_the_way_to_the_batchs():
    x = jnp.asarray(np.random.default_rng(0).normal(3, 2, (4, 5, 6, 2)), jnp.float32)
    norm = BatchNorm()
    variables = norm.init(jax.random.key(0), x, train=True)
    _, updated = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    flat = np.asarray(x).reshape(-1, 2)
    np.testing.assert_allclose(updated["batch_stats"]["mean"], 0.1 * flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(updated["batch_stats"]["var"], 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-5)


def test_evaluation_normalises_by_running_statistics():
    x = draw(2, 3, 3, 1).astype(np.float32)
    variables = {
        "params": {"scale": jnp.array([2.0]), "bias": jnp.array([1.0])},
        "batch_stats": {"mean": jnp.array([0.5]), "var": jnp.array([4.0])},
    }
    expected = (x - 0.5) / np.sqrt(4 + 1e-5) * 2 + 1
    found = BatchNorm().apply(variables, jnp.asarray(x), train=False)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
