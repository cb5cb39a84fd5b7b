"""A compute dtype of bfloat16, with everything else in float32: GPU and TPU multiply in it, a CPU does not."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from compare import plain_conv
from compat import enable_x64
from jax import export

from jaxattn import Config
from jaxattn.attention import resolve
from jaxattn.data.augment import AUGMENT
from jaxattn.layers.convolution import LAYOUT, conv_general_dilated, conv_same
from jaxattn.layers.dense import dot
from jaxattn.networks import CNN
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
def accelerator(monkeypatch):
    """Lets the CPU run what a GPU or TPU does."""
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *args, default, cpu: default(*args))


CONVOLUTIONS = [
    ((2, 8, 8, 3), (3, 3, 3, 8)),
    ((8, 16, 16, 8), (3, 3, 8, 8)),
    ((2, 8, 8, 16), (3, 3, 16, 8)),
    ((2, 5, 6, 9), (3, 3, 9, 4)),
]
STRIDED = {"window_strides": (2, 2), "padding": [(1, 1), (1, 1)]}
plain_strided = functools.partial(jax.lax.conv_general_dilated, dimension_numbers=LAYOUT, **STRIDED)


def strided(x, kernel, dtype):
    return conv_general_dilated(x, kernel, **STRIDED, compute_dtype=dtype)


CASES = [(conv_same, plain_conv, *shapes) for shapes in CONVOLUTIONS]
CASES.append((strided, plain_strided, *CONVOLUTIONS[0]))
CASES.append((dot, jnp.dot, (5, 7), (7, 3)))


def value_and_gradients(function, inputs, dy):
    def both(inputs, dy):
        value, pull = jax.vjp(function, *inputs)
        return value, *pull(dy)

    return jax.jit(both, compiler_options=QUICK_COMPILE)(inputs, dy)


@pytest.mark.usefixtures("accelerator")
@pytest.mark.parametrize(("ours", "plain", "shape", "kernel"), CASES)
def test_accelerators_round_what_they_multiply_and_of_sums_only_a_convolutions_once_it_is_finished(
    ours, plain, shape, kernel
):
    inputs = draw(*shape), draw(*kernel)
    dy = draw(*jax.eval_shape(plain, *inputs).shape)
    got = value_and_gradients(lambda *inputs: ours(*inputs, jnp.bfloat16), inputs, dy)
    with enable_x64():
        expected = value_and_gradients(plain, tuple(map(halves, inputs)), halves(dy))
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == np.float32
        rounding = 0 if ours is dot else 2**-8
        np.testing.assert_allclose(one, other, rtol=rounding, atol=3e-5 * np.abs(other).max())


@pytest.mark.parametrize(("ours", "plain", "shape", "kernel"), CASES)
def test_a_cpu_computes_what_it_does_in_float32(ours, plain, shape, kernel):
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
    batch = make_batch(AUGMENT["none"], tiny.SPEC)
    step = jax.jit(make_train_step(model, optimizer, batch, True), compiler_options=QUICK_COMPILE)
    state = init(jax.random.key(0))
    return step(state, jax.random.key(1), IMAGES, LABELS, np.arange(4))


@pytest.mark.usefixtures("accelerator")
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
    program = build(Config(recipe=recipe, attention="se", precision="bf16"), tiny.SPEC, 50)
    state = jax.eval_shape(program.init, jax.random.key(0))
    data = jnp.zeros((40, 32, 32, 3), np.uint8), jnp.zeros(40, np.int32), jnp.zeros(16, np.int32)
    text = export.export(program.step[True], platforms=[platform])(state, jax.random.key(0), *data).mlir_module()
    operands = [line.rsplit(":", 1)[1].split("->")[0] for line in text.splitlines() if "stablehlo.convolution" in line]
    assert len(operands) == 8 and all(line.count("bf16>") == 2 for line in operands)
    dense = [line for line in text.splitlines() if "stablehlo.dot_general" in line and line.count("bf16>") == 2]
    assert len(dense) == 6 and all(line.rstrip().split("->")[1].count("xf32>") == 1 for line in dense)


@pytest.mark.parametrize(("platform", "said"), [("gpu", False), ("cpu", True)])
def test_a_run_says_where_bfloat16_is_not_used(monkeypatch, platform, said):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    lines = messages.headline(Config(precision="bf16"), (10, 1, 1), {})
    assert ("bf16 is for GPU and TPU" in lines) == said
