"""A compute dtype of bfloat16, with everything else in float32, in each form that a platform gets."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import plain_conv
from compat import enable_x64
from jax import export

from jaxattn import Config, runtime
from jaxattn.attention import resolve
from jaxattn.data.augment import AUGMENT
from jaxattn.layers.convolution import conv_same
from jaxattn.layers.dense import dot
from jaxattn.model import CNN
from jaxattn.runs import messages
from jaxattn.runtime import QUICK_COMPILE
from jaxattn.training import optim
from jaxattn.training.batch import make_batch
from jaxattn.training.program import build
from jaxattn.training.state import init_state
from jaxattn.training.step import make_train_step

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
LABELS = RNG.integers(0, 10, 4).astype(np.int32)


def draw(*shape):
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


def halves(x):
    return np.asarray(jnp.asarray(x).astype(jnp.bfloat16), np.float64)


@pytest.fixture
def bfloat16_units(monkeypatch):
    monkeypatch.setattr(runtime, "cpu_multiplies_bf16", lambda: True)


@pytest.fixture
def float32_units(monkeypatch):
    monkeypatch.setattr(runtime, "cpu_multiplies_bf16", lambda: False)


CONVOLUTIONS = [
    ((2, 8, 8, 3), (3, 3, 3, 8)),
    ((8, 16, 16, 8), (3, 3, 8, 8)),
    ((2, 8, 8, 16), (3, 3, 16, 8)),
    ((2, 5, 6, 9), (3, 3, 9, 4)),
]
CASES = [(conv_same, plain_conv, *shapes) for shapes in CONVOLUTIONS] + [(dot, jnp.dot, (5, 7), (7, 3))]


def value_and_gradients(function, inputs, dy):
    def both(inputs, dy):
        value, pull = jax.vjp(function, *inputs)
        return value, *pull(dy)

    return jax.jit(both, compiler_options=QUICK_COMPILE)(inputs, dy)


@pytest.mark.usefixtures("bfloat16_units")
@pytest.mark.parametrize(("ours", "plain", "shape", "kernel"), CASES)
def test_products_are_of_rounded_numbers_and_sums_are_not_rounded(ours, plain, shape, kernel):
    inputs = draw(*shape), draw(*kernel)
    dy = draw(*jax.eval_shape(plain, *inputs).shape)
    got = value_and_gradients(lambda *inputs: ours(*inputs, jnp.bfloat16), inputs, dy)
    with enable_x64():
        expected = value_and_gradients(plain, tuple(map(halves, inputs)), halves(dy))
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == np.float32
        # sums of float32; one rounding to bfloat16 would be a hundred times that
        np.testing.assert_allclose(one, other, atol=3e-5 * np.abs(other).max())


@pytest.mark.usefixtures("float32_units")
@pytest.mark.parametrize(("ours", "plain", "shape", "kernel"), CASES)
def test_a_cpu_without_units_for_bfloat16_computes_what_it_does_in_float32(ours, plain, shape, kernel):
    inputs = draw(*shape), draw(*kernel)
    dy = draw(*jax.eval_shape(plain, *inputs).shape)
    got, expected = (
        value_and_gradients(lambda *inputs, dtype=dtype: ours(*inputs, dtype), inputs, dy)
        for dtype in (jnp.bfloat16, None)
    )
    chex.assert_trees_all_equal(got, expected)


def outcome(compute_dtype, name):
    attention = name and functools.partial(resolve(name))
    model = CNN(widths=(8, 16), hidden=32, dropout=0.2, attention=attention, compute_dtype=compute_dtype)
    optimizer, plateau = optim.adam(lambda step: 1e-3, 0.01), optim.plateau("plateau", 0.5, 3)
    init = jax.jit(lambda key: init_state(model, optimizer, plateau, key, (32, 32, 3)), compiler_options=QUICK_COMPILE)
    step = jax.jit(make_train_step(model, optimizer, make_batch(AUGMENT["none"]), True), compiler_options=QUICK_COMPILE)
    state = init(jax.random.key(0))
    return step(state, jax.random.key(1), IMAGES, LABELS, np.arange(4))


@pytest.mark.usefixtures("bfloat16_units")
@pytest.mark.parametrize("name", [None, "cbam"])
def test_step_keeps_float32_and_its_loss_is_that_of_float32_but_for_rounding(name):
    (state, sums), (plain, plain_sums) = outcome(jnp.bfloat16, name), outcome(None, name)
    assert jax.tree.map(lambda x: x.dtype, state) == jax.tree.map(lambda x: x.dtype, plain)
    assert {x.dtype for x in jax.tree.leaves(state.variables)} == {np.dtype(np.float32)}
    difference = abs(float(sums.loss) - float(plain_sums.loss)) / 4
    assert 0 < difference < 1e-2
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(state.params))


@pytest.mark.parametrize("recipe", ["standard", "original"])
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_accelerators_multiply_bfloat16(platform, recipe):
    program = build(Config(recipe=recipe, attention="se", precision="bf16"), 10, (32, 32, 3), 50)
    state = jax.eval_shape(program.init, jax.random.key(0))
    data = jnp.zeros((40, 32, 32, 3), np.uint8), jnp.zeros(40, np.int32), jnp.zeros(16, np.int32)
    text = export.export(program.step[True], platforms=[platform])(state, jax.random.key(0), *data).mlir_module()
    operands = [line.rsplit(":", 1)[1].split("->")[0] for line in text.splitlines() if "stablehlo.convolution" in line]
    assert len(operands) == 8 and all(line.count("bf16>") == 2 for line in operands)
    dense = [line for line in text.splitlines() if "stablehlo.dot_general" in line and line.count("bf16>") == 2]
    assert len(dense) == 6 and all(line.rstrip().split("->")[1].count("xf32>") == 1 for line in dense)


@pytest.mark.parametrize(("units", "said"), [(True, False), (False, True)])
def test_a_run_says_where_bfloat16_is_not_used(monkeypatch, units, said):
    monkeypatch.setattr(runtime, "cpu_multiplies_bf16", lambda: units)
    lines = messages.headline(Config(precision="bf16"), (10, 1, 1), {})
    assert ("computes in float32" in lines) == said
