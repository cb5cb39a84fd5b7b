"""The network: its shapes, its initial weights, its attention."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict

from jaxattn.attention import resolve
from jaxattn.attention.se import SqueezeExcitation
from jaxattn.errors import InputError
from jaxattn.networks.cnn import CNN, ConvBlock
from jaxattn.runtime import QUICK_COMPILE

IMAGES = jnp.zeros((2, 32, 32, 3))


def init(model, images=IMAGES, seed=0):
    return jax.jit(model.init, compiler_options=QUICK_COMPILE)(jax.random.key(seed), images)


def shapes_of(model, images=IMAGES):
    return jax.eval_shape(model.init, jax.random.key(0), images)


def random_map(shape):
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)


def sizes(variables):
    return {"/".join(path): leaf.shape for path, leaf in flatten_dict(variables["params"]).items()}


@pytest.mark.parametrize(
    ("name", "parameters"), [("none", 1_147_914), ("se", 1_147_914 + 2 * (32 * 2 + 64 * 4 + 128 * 8))]
)
def test_parameters_are_those_of_the_tutorials_network(name, parameters):
    variables = shapes_of(CNN(attention=resolve(name)))
    assert sum(math.prod(shape) for shape in sizes(variables).values()) == parameters


def test_blocks_halve_the_map_and_widen_it():
    model = CNN()
    capture = functools.partial(
        model.apply,
        capture_intermediates=lambda module, name: isinstance(module, ConvBlock) and name == "__call__",
    )
    _, captured = jax.eval_shape(capture, shapes_of(model), IMAGES)
    shapes = [captured["intermediates"][f"block_{i}"]["__call__"][0].shape for i in (1, 2, 3)]
    assert shapes == [(2, 16, 16, 32), (2, 8, 8, 64), (2, 4, 4, 128)]


@pytest.mark.parametrize("widths", [(8,), (4, 8), (4, 8, 8, 16)])
def test_any_depth_and_size_classifies(widths):
    model, images = CNN(classes=7, widths=widths, hidden=16), jnp.zeros((3, 33, 18, 3))
    assert jax.eval_shape(model.apply, shapes_of(model, images), images).shape == (3, 7)


def test_too_small_an_image_is_reported():
    with pytest.raises(ValueError, match=r"H, W >= 8, got \[2, 4, 32, 3\]"):
        init(CNN(), IMAGES[:, :4])


def test_attention_that_changes_the_shape_is_reported():
    model = CNN(widths=(4,), attention=functools.partial(nn.Dense, 5))
    with pytest.raises(InputError, match=r"must keep the shape of its input, \[1, 32, 32, 4\], got \[1, 32, 32, 5\]"):
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
    model, images = CNN(widths=(4, 8)), random_map(IMAGES.shape)
    variables = init(model)

    def logits(key, train):
        return model.apply(variables, images, train=train, rngs={"dropout": key}, mutable=["batch_stats"])[0]

    logits = jax.jit(logits, static_argnames="train", compiler_options=QUICK_COMPILE)
    keys = [jax.random.key(i) for i in (0, 1)]
    np.testing.assert_array_equal(*(logits(key, train=False) for key in keys))
    assert not np.allclose(*(logits(key, train=True) for key in keys))


def test_squeeze_and_excitation_equals_its_equations():
    x = random_map((3, 4, 5, 32))
    module = SqueezeExcitation(reduction=8)
    variables = module.init(jax.random.key(0), x)
    squeeze, excite = (np.asarray(variables["params"][name]["kernel"], np.float64) for name in ("squeeze", "excite"))
    assert squeeze.shape == (32, 4)
    hidden = np.maximum(np.asarray(x, np.float64).mean(axis=(1, 2)) @ squeeze, 0)
    gate = 1 / (1 + np.exp(-hidden @ excite))
    np.testing.assert_allclose(module.apply(variables, x), x * gate[:, None, None, :], rtol=1e-5, atol=1e-6)


def test_squeeze_and_excitation_keeps_one_hidden_unit():
    variables = SqueezeExcitation().init(jax.random.key(0), jnp.zeros((1, 4, 4, 3)))
    assert sizes(variables) == {"squeeze/kernel": (3, 1), "excite/kernel": (1, 3)}
