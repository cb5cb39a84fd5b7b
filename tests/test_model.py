"""The network: its shapes, its weights at the start, its statistics."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict

from jaxattn.attention import SqueezeExcitation, resolve
from jaxattn.errors import InputError
from jaxattn.model import CNN, BatchNorm, ConvBlock

IMAGES = np.zeros((2, 32, 32, 3), np.float32)


def init(model, images=IMAGES, seed=0):
    return jax.jit(model.init)(jax.random.key(seed), images)


def sizes(variables):
    return {"/".join(path): leaf.shape for path, leaf in flatten_dict(variables["params"]).items()}


@pytest.mark.parametrize(
    ("name", "parameters"), [("none", 1_147_914), ("se", 1_147_914 + 2 * (32 * 2 + 64 * 4 + 128 * 8))]
)
def test_parameters_are_those_of_the_tutorials_network(name, parameters):
    variables = init(CNN(attention=resolve(name)))
    assert sum(math.prod(shape) for shape in sizes(variables).values()) == parameters


def test_blocks_halve_the_map_and_widen_it():
    model = CNN()
    _, captured = model.apply(
        init(model),
        IMAGES,
        capture_intermediates=lambda module, name: isinstance(module, ConvBlock) and name == "__call__",
    )
    shapes = [captured["intermediates"][f"block_{i}"]["__call__"][0].shape for i in (1, 2, 3)]
    assert shapes == [(2, 16, 16, 32), (2, 8, 8, 64), (2, 4, 4, 128)]


@pytest.mark.parametrize("widths", [(8,), (4, 8), (4, 8, 8, 16)])
def test_any_depth_and_size_classifies(widths):
    model, images = CNN(classes=7, widths=widths, hidden=16), np.zeros((3, 33, 18, 3), np.float32)
    assert jax.jit(model.apply)(init(model, images), images).shape == (3, 7)


def test_too_small_an_image_is_told():
    with pytest.raises(ValueError, match=r"H, W >= 8, got \[2, 4, 32, 3\]"):
        init(CNN(), IMAGES[:, :4])


def test_attention_that_changes_the_shape_is_told():
    model = CNN(widths=(4,), attention=functools.partial(nn.Dense, 5))
    with pytest.raises(InputError, match=r"must give the shape it was given, \[1, 32, 32, 4\], got \[1, 32, 32, 5\]"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def test_weights_start_uniform_within_pytorchs_bound():
    params = flatten_dict(init(CNN(attention=resolve("se")))["params"], sep="/")
    fan_in = {
        "block_2/conv/kernel": 288, "block_2/conv/bias": 288, "hidden/kernel": 2048, "hidden/bias": 2048,
        "head/kernel": 512, "block_3/attention/squeeze/kernel": 128, "block_3/attention/excite/kernel": 8,
    }  # fmt: skip
    for name, fan in fan_in.items():
        weights, bound = np.asarray(params[name]), 1 / math.sqrt(fan)
        assert np.abs(weights).max() <= bound
        # the spread of a uniform draw is bound / sqrt(3); of n draws it is known to about 1 / sqrt(n)
        assert weights.std() == pytest.approx(bound / math.sqrt(3), rel=4 / math.sqrt(weights.size))


def test_plain_net_and_attention_start_from_equal_weights():
    plain = flatten_dict(init(CNN())["params"])
    gated = flatten_dict(init(CNN(attention=resolve("se")))["params"])
    assert plain.keys() < gated.keys()
    for path, weights in plain.items():
        np.testing.assert_array_equal(weights, gated[path])


def test_dropout_acts_in_training_only():
    model, images = CNN(), np.random.default_rng(0).standard_normal(IMAGES.shape).astype(np.float32)
    variables = init(model)
    np.testing.assert_array_equal(model.apply(variables, images), model.apply(variables, images))
    drawn = [
        model.apply(variables, images, train=True, rngs={"dropout": jax.random.key(i)}, mutable=["batch_stats"])[0]
        for i in (0, 1)
    ]
    assert not np.allclose(*drawn)


def test_running_statistics_move_a_tenth_of_the_way_to_the_batchs():
    x = np.random.default_rng(0).normal(3, 2, (4, 5, 6, 2)).astype(np.float32)
    norm = BatchNorm()
    variables = norm.init(jax.random.key(0), x, train=True)
    _, updated = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    flat = x.reshape(-1, 2)
    np.testing.assert_allclose(updated["batch_stats"]["mean"], 0.1 * flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(updated["batch_stats"]["var"], 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-5)


def test_evaluation_normalises_by_running_statistics():
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 1)).astype(np.float32)
    variables = {
        "params": {"scale": jnp.array([2.0]), "bias": jnp.array([1.0])},
        "batch_stats": {"mean": jnp.array([0.5]), "var": jnp.array([4.0])},
    }
    expected = (x - 0.5) / np.sqrt(4 + 1e-5) * 2 + 1
    np.testing.assert_allclose(BatchNorm().apply(variables, x, train=False), expected, rtol=1e-5)


def test_squeeze_and_excitation_equals_its_equations():
    x = np.random.default_rng(0).standard_normal((3, 4, 5, 32)).astype(np.float32)
    module = SqueezeExcitation(reduction=8)
    variables = module.init(jax.random.key(0), x)
    squeeze, excite = (np.asarray(variables["params"][name]["kernel"], np.float64) for name in ("squeeze", "excite"))
    assert squeeze.shape == (32, 4)
    hidden = np.maximum(x.astype(np.float64).mean(axis=(1, 2)) @ squeeze, 0)
    gate = 1 / (1 + np.exp(-hidden @ excite))
    np.testing.assert_allclose(module.apply(variables, x), x * gate[:, None, None, :], rtol=1e-5, atol=1e-6)


def test_squeeze_and_excitation_keeps_one_hidden_unit():
    variables = SqueezeExcitation().init(jax.random.key(0), np.zeros((1, 4, 4, 3), np.float32))
    assert sizes(variables) == {"squeeze/kernel": (3, 1), "excite/kernel": (1, 3)}
