"""Whole programs as a GPU or TPU would get them, lowered without one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from jaxattn import Config
from jaxattn.training.program import build

CONVOLUTIONS = 3  # forward; their kernels' gradients are as many, their inputs' one fewer: none flows to the image
DENSE = 2 + 3 * 2  # the head, and squeeze and excite of three blocks; each has two gradients
BATCH = 16


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
    program = build(Config(attention="se", recipe="original"), 10, (32, 32, 3), 50)
    function = program.step[True] if len(rows) == 1 else program.steps[True]
    text = lowered(function, *arguments(program, *rows))
    assert counts(text) == (3 * CONVOLUTIONS - 1, 3 * DENSE)
    assert bool(operations(text, "while")) == (len(rows) == 2)


def test_evaluation_is_plain_convolutions_and_the_dense_layers_products(lowered):
    program = build(Config(attention="se"), 10, (32, 32, 3), 50)
    state, _, *inputs = arguments(program, BATCH)
    valid = jnp.ones(BATCH, bool)
    assert counts(lowered(program.evaluate, state.variables, *inputs, valid)) == (CONVOLUTIONS, DENSE)
