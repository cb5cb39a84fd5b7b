"""Whole programs as a GPU or TPU would get them, lowered without one."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from jax import export

from experiments.benchmark.plain_flax import PlainCNN, PlainResNet
from jaxattn import Config
from jaxattn.data.augment import AUGMENT
from jaxattn.recipes import recipe
from jaxattn.training import optim
from jaxattn.training.batch import make_batch
from jaxattn.training.program import build
from jaxattn.training.state import init_state
from jaxattn.training.step import make_train_step

CONVOLUTIONS = 3  # forward; their kernels' gradients are as many, their inputs' one fewer: none flows to the image
DENSE = 2 + 3 * 2  # the head, and squeeze and excite of three blocks; each has two gradients
BATCH = 16
# What the recipe `original` sets, without augmentation and dropout, which a residual network lacks.
TUTORIALS = recipe("cnn", "original") | {"augment": "none", "dropout": 0.0}


@pytest.fixture(params=["cuda", "tpu"])
def lowered(request):
    """The text of a function of the program as the platform gets it."""

    def text(function, *inputs):
        return export.export(function, platforms=[request.param])(*inputs).mlir_module()

    return text


def arguments(program, *rows):
    state = jax.eval_shape(program.init, jax.random.key(0))
    data = jnp.zeros((40, 32, 32, 3), np.uint8), jnp.zeros(40, np.int32)
    return state, jax.random.key(0), *data, jnp.zeros(rows, np.int32)


def operations(text, name):
    return [line for line in text.splitlines() if f"stablehlo.{name}" in line]


def counts(text):
    return len(operations(text, "convolution")), len(operations(text, "dot_general"))


@pytest.mark.parametrize("rows", [(BATCH,), (50, BATCH)], ids=["step", "fifty steps"])
def test_training_step_is_plain_convolutions_and_the_dense_layers_products(lowered, rows):
    program = build(Config(attention="se", recipe="original"), tiny.SPEC, 50)
    function = program.step[True] if len(rows) == 1 else program.steps[True]
    text = lowered(function, *arguments(program, *rows))
    assert counts(text) == (3 * CONVOLUTIONS - 1, 3 * DENSE)
    assert bool(operations(text, "while")) == (len(rows) == 2)


@pytest.mark.parametrize(
    ("network", "convolutions", "sites"), [("resnet20", 19, 9), ("resnet18", 20, 8), ("wrn-10-1", 9, 3)]
)
def test_training_step_of_a_residual_network_is_plain_convolutions_and_products(lowered, network, convolutions, sites):
    """Convolutions with those of shortcuts, of which resnet18 has three and wrn-10-1 two."""
    program = build(Config(network=network, attention="se"), tiny.SPEC, 50)
    text = lowered(program.step[True], *arguments(program, BATCH))
    assert counts(text) == (3 * convolutions - 1, 3 * (1 + 2 * sites))
    assert not large(text, "transpose")


def large(text, name):
    """How many operations of this name give an array of a map's size, for each image at least 4 x 4 x 128 numbers."""
    shapes = re.findall(rf"stablehlo\.{name}.*?-> tensor<([0-9x]+)x[a-z]", text)
    return sum(np.prod([int(size) for size in shape.split("x")]) >= BATCH * 2048 for shape in shapes)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("network", ["cnn", "resnet20", "resnet18"])
def test_training_step_does_nothing_that_plain_flax_does_not(lowered, network, precision):
    config = Config(network=network, attention="se", precision=precision, **TUTORIALS)
    program, dtype = build(config, tiny.SPEC, 50), jnp.bfloat16 if precision == "bf16" else jnp.float32
    ours, optimizer, plateau = program.model, optim.adam(lambda _: 1e-3, 0.0), optim.plateau("constant", 0.5, 3)
    plain = PlainCNN(dtype) if network == "cnn" else PlainResNet(ours.widths, ours.blocks, ours.projection, dtype)
    peer = jax.jit(make_train_step(plain, optimizer, make_batch(AUGMENT["none"], tiny.SPEC), True))
    state = jax.eval_shape(lambda key: init_state(plain, optimizer, plateau, key, (32, 32, 3)), jax.random.key(0))
    inputs = arguments(program, BATCH)
    ours, theirs = lowered(program.step[True], *inputs), lowered(peer, state, *inputs[1:])
    for name in ("convolution", "dot_general", "transpose", "reduce_window", "select_and_scatter", "while", "pad"):
        assert len(operations(ours, name)) <= len(operations(theirs, name)), name
    assert large(ours, "convert") <= large(theirs, "convert") and large(ours, "gather") <= large(theirs, "gather")


def test_evaluation_is_plain_convolutions_and_the_dense_layers_products(lowered):
    program = build(Config(attention="se"), tiny.SPEC, 50)
    state, _, *inputs = arguments(program, BATCH)
    valid = jnp.ones(BATCH, bool)
    assert counts(lowered(program.evaluate, state.variables, *inputs, valid)) == (CONVOLUTIONS, DENSE)
