"""Each special form equals the plain one, in value and gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxattn import ops, winograd
from jaxattn.program import APART

SHAPES = [(4, 8, 8, 5), (3, 7, 5, 3), (1, 2, 3, 1)]


def value_and_gradients(function, *inputs):
    """The value, and the gradients of a random weighing of it (so that no two outputs pull alike)."""

    def weighed(*inputs):
        value = function(*inputs)
        return jnp.sum(value * np.random.default_rng(9).standard_normal(value.shape)), value

    gradients, value = jax.jit(jax.grad(weighed, argnums=range(len(inputs)), has_aux=True))(*inputs)
    return value, gradients


def assert_same(ours, plain, *inputs, tolerance=1e-10):
    with jax.enable_x64(True):  # float64, so that a wrong term cannot hide behind rounding
        inputs = [np.asarray(x, np.float64) for x in inputs]
        ours, plain = value_and_gradients(ours, *inputs), value_and_gradients(plain, *inputs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), ours, plain)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def plain_conv(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize(
    ("shape", "size", "features"),
    [
        ((4, 8, 8, 3), 3, 5),
        ((2, 5, 12, 3), 5, 4),
        ((3, 7, 5, 9), 3, 4),
        ((1, 2, 3, 16), 3, 2),
        ((1, 5, 6, 2), 5, 3),
        ((2, 4, 4, 8), 1, 3),
        ((11, 12, 16, 8), 3, 5),
        ((8, 16, 16, 9), 3, 1),
    ],
)
def test_convolution_equals_laxs(shape, size, features):
    assert_same(ops.conv_same, plain_conv, draw(*shape), draw(size, size, shape[-1], features, seed=1))


def test_winograd_is_as_exact_as_float32_allows():
    x, kernel = draw(8, 16, 16, 32).astype(np.float32), draw(3, 3, 32, 64, seed=1).astype(np.float32)
    ours, plain = value_and_gradients(ops.conv_same, x, kernel), value_and_gradients(plain_conv, x, kernel)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        assert not np.array_equal(a, b)  # the other form was taken
        np.testing.assert_allclose(a, b, atol=3e-5 * np.abs(b).max())


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="it counts what the CPU's compiler made")
def test_winograds_transforms_take_little_arithmetic_beside_the_products():
    """Where XLA joins their two steps, it takes twice as much."""
    x, kernel, dy = (jax.ShapeDtypeStruct(s, "float32") for s in ((16, 16, 16, 32), (3, 3, 32, 64), (16, 16, 16, 64)))
    both = jax.jit(lambda x, kernel, dy: (winograd.convolve(x, kernel), winograd.gradients(x, kernel, dy)))
    operations = both.lower(x, kernel, dy).compile(APART).cost_analysis()["flops"]
    tiles, positions, passes = 16 * 4 * 4, 36, 3
    products = 2 * tiles * 32 * 64 * positions * passes
    assert products < operations < 1.3 * products


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strides": 2},
        {"padding": 0},
        {"kernel_dilation": 2, "padding": 2},
        {"input_dilation": 2},
        {"feature_group_count": 2},
    ],
)
def test_layer_with_our_convolution_equals_flaxs(options):
    x = draw(2, 6, 7, 4).astype(np.float32)
    layers = [
        nn.Conv(6, (3, 3), conv_general_dilated=ours, **{"padding": 1} | options)
        for ours in (ops.conv_general_dilated, None)
    ]
    variables = layers[0].init(jax.random.key(0), x)
    np.testing.assert_allclose(*(layer.apply(variables, x) for layer in layers), atol=1e-6)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_accelerators_get_no_cpu_form(platform):
    function = jax.jit(jax.grad(lambda x, kernel: ops.conv_same(x, kernel).sum(), argnums=(0, 1)))
    module = jax.export.export(function, platforms=[platform])(draw(4, 8, 8, 3), draw(3, 3, 3, 5)).mlir_module()
    assert "stablehlo.convolution" in module and "dot_general" not in module and "concatenate" not in module


@pytest.mark.parametrize("shape", SHAPES)
def test_max_pool_equals_reduce_window(shape):
    assert_same(ops.max_pool_2x2, lambda x: nn.max_pool(x, (2, 2), (2, 2)), draw(*shape))


@pytest.mark.parametrize("gate", [(4, 1, 1, 5), (1, 1, 1, 5), (4, 8, 9, 1), (4, 1, 1, 1)])
def test_gated_max_pool_equals_a_product_and_a_pool(gate):
    def plain(x, gate):
        return nn.max_pool(x * gate, (2, 2), (2, 2))

    assert_same(ops.gated_max_pool_2x2, plain, draw(4, 8, 9, 5), draw(*gate, seed=1))  # negative weights, too


def test_max_pool_gives_the_gradient_of_a_tie_to_the_first():
    windows = np.array([[[1, 1], [1, 1]], [[0, 1], [1, 0]], [[0, 0], [2, 2]]], np.float32)[..., None]
    gradient = jax.grad(lambda x: ops.max_pool_2x2(x).sum())(windows)
    np.testing.assert_array_equal(gradient[..., 0], [[[1, 0], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [1, 0]]])


def test_gradients_are_finite_however_little_xla_optimises():
    """Without optimisation XLA computes a pool's input twice, with other rounding; nothing then equals the maximum."""
    from jaxattn.attention import resolve
    from jaxattn.model import CNN

    model = CNN(widths=(8, 16), hidden=16, dropout=0.0, attention=resolve("se"))
    images = draw(8, 32, 32, 3).astype(np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images)

    def loss(params):
        return model.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])[0].std()

    plain, bare = (
        jax.jit(jax.grad(loss), compiler_options=options)(variables["params"])
        for options in ({}, {"xla_backend_optimization_level": 0})
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), plain, bare)  # float32, one pixel may flip


@pytest.mark.parametrize("axis", [(1, 2), (3,), (1,)])
def test_largest_equals_max(axis):
    assert_same(lambda x: ops.largest(x, axis), lambda x: x.max(axis, keepdims=True), draw(3, 7, 5, 4))


def test_largest_gives_the_gradient_of_a_tie_to_the_first():
    x = np.array([[0, 2], [2, 1]], np.float32).reshape(1, 2, 2, 1)
    gradient = jax.grad(lambda x: ops.largest(x, (1, 2)).sum())(x)
    np.testing.assert_array_equal(gradient[0, ..., 0], [[0, 1], [0, 0]])


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_equals_its_definition(shape):
    def plain(x, scale, bias):
        mean, var = x.mean(axis=(0, 1, 2), keepdims=True), x.var(axis=(0, 1, 2), keepdims=True)
        return (x - mean) / jnp.sqrt(var + 1e-5) * scale.reshape(1, 1, 1, -1) + bias.reshape(1, 1, 1, -1)

    channels = shape[-1]
    assert_same(
        lambda *inputs: ops.batch_norm(*inputs, 1e-5)[0],
        plain,
        draw(*shape),
        draw(channels, seed=1),
        draw(channels, seed=2),
        tolerance=1e-8,
    )


def test_batch_norm_gives_the_moments_of_the_batch():
    x = draw(4, 8, 8, 5).astype(np.float32)
    _, mean, var = ops.batch_norm(x, np.ones(5, np.float32), np.zeros(5, np.float32), 1e-5)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(var, x.var(axis=(0, 1, 2)), rtol=1e-5)
