"""Each form of the convolution equals XLA's own, in value and gradient."""

import jax
import numpy as np
import pytest
from compare import assert_same, draw, plain_conv, value_and_gradients
from flax import linen as nn
from jax import export

from jaxattn.layers import convolution, grouped_convolution, winograd
from jaxattn.runtime import KEEP_BARRIERS


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
        ((40, 15, 7, 8), 3, 5),
        ((300, 3, 3, 8), 3, 4),
        ((9, 31, 30, 8), 3, 2),
    ],
)
def test_convolution_equals_laxs(shape, size, features):
    assert_same(convolution.conv_same, plain_conv, draw(*shape), draw(size, size, shape[-1], features, seed=1))


@pytest.mark.parametrize(
    ("shape", "size", "strides", "padding"),
    [
        ((3, 8, 8, 8), 3, (2, 2), ((1, 1), (1, 1))),
        ((2, 9, 7, 9), 3, (2, 2), ((1, 1), (1, 1))),
        ((2, 7, 10, 8), 3, (3, 2), ((0, 0), (2, 1))),
        ((2, 8, 6, 8), 2, (2, 2), ((0, 0), (0, 0))),
        ((2, 6, 6, 8), 5, (2, 1), ((2, 2), (2, 2))),
        ((2, 8, 6, 8), 1, (2, 2), ((0, 0), (0, 0))),
        ((2, 7, 5, 8), 1, (2, 3), ((0, 0), (1, 0))),
        ((2, 6, 6, 8), 2, (1, 1), ((0, 1), (1, 0))),
    ],
)
def test_convolution_with_strides_equals_laxs(shape, size, strides, padding):
    def plain(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=convolution.LAYOUT)

    def ours(x, kernel):
        return convolution.conv_general_dilated(x, kernel, strides, padding)

    assert_same(ours, plain, draw(*shape), draw(size, size, shape[-1], 5, seed=1))


@pytest.mark.parametrize("size", [1, 3])
def test_gradients_of_a_strided_convolution_are_matrix_products_on_a_cpu(size):
    """XLA's own transpose whole maps and multiply by zeros between dy's rows."""

    def loss(x, kernel):
        return (convolution.conv_general_dilated(x, kernel, (2, 2), [(size // 2, size // 2)] * 2) ** 2).sum()

    x, kernel = draw(2, 8, 8, 8).astype(np.float32), draw(size, size, 8, 5).astype(np.float32)
    text = export.export(jax.jit(jax.grad(loss, argnums=(0, 1))), platforms=["cpu"])(x, kernel).mlir_module()
    assert (text.count("stablehlo.convolution"), text.count("stablehlo.dot_general")) == (1, 2)


def test_winograd_is_as_exact_as_float32_allows():
    x, kernel = draw(8, 16, 16, 32).astype(np.float32), draw(3, 3, 32, 64, seed=1).astype(np.float32)
    ours, plain = (value_and_gradients(form, x, kernel) for form in (convolution.conv_same, plain_conv))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        assert not np.array_equal(a, b)  # the other form was taken
        np.testing.assert_allclose(a, b, atol=3e-5 * np.abs(b).max())


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="it counts what the CPU's compiler made")
def test_winograds_transforms_take_little_arithmetic_beside_the_products():
    """Where XLA fuses their two steps, it takes twice as much."""
    x, kernel, dy = (jax.ShapeDtypeStruct(s, "float32") for s in ((16, 16, 16, 32), (3, 3, 32, 64), (16, 16, 16, 64)))
    both = jax.jit(lambda x, kernel, dy: (winograd.convolve(x, kernel), winograd.gradients(x, kernel, dy)))
    operations = both.lower(x, kernel, dy).compile(KEEP_BARRIERS).cost_analysis()["flops"]
    tiles, positions, passes = 16 * 4 * 4, 36, 3
    products = 2 * tiles * 32 * 64 * positions * passes
    assert products < operations < 1.3 * products


OPTIONS = {
    "plain": {},
    "strides": {"strides": 2},
    "no padding": {"padding": 0},
    "dilated kernel": {"kernel_dilation": 2, "padding": 2},
    "dilated input": {"input_dilation": 2},
    "groups": {"feature_group_count": 2},
    "dilated input with groups": {"input_dilation": 2, "feature_group_count": 2},
    "precision": {"precision": "highest"},
}


@pytest.mark.parametrize("ours", [convolution, grouped_convolution], ids=["convolution", "grouped_convolution"])
@pytest.mark.parametrize("case", OPTIONS)
def test_layer_with_our_convolution_equals_flaxs(case, ours):
    x = draw(2, 6, 7, 4).astype(np.float32)
    layers = [
        nn.Conv(6, (3, 3), conv_general_dilated=convolve, **{"padding": 1} | OPTIONS[case])
        for convolve in (ours.conv_general_dilated, None)
    ]
    variables = layers[0].init(jax.random.key(0), x)
    np.testing.assert_allclose(*(layer.apply(variables, x) for layer in layers), atol=1e-6)


@pytest.mark.parametrize("ours", [convolution, grouped_convolution], ids=["convolution", "grouped_convolution"])
def test_a_precision_that_is_asked_for_reaches_xla(ours):
    layer = nn.Conv(6, (3, 3), padding=1, precision="highest", conv_general_dilated=ours.conv_general_dilated)
    x = np.zeros((2, 6, 7, 4), np.float32)
    variables = layer.init(jax.random.key(0), x)
    assert "precision HIGHEST" in jax.jit(layer.apply).lower(variables, x).as_text()


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_accelerators_get_no_cpu_form(platform):
    function = jax.jit(jax.grad(lambda x, kernel: convolution.conv_same(x, kernel).sum(), argnums=(0, 1)))
    x, kernel = draw(4, 8, 8, 3).astype(np.float32), draw(3, 3, 3, 5).astype(np.float32)
    module = export.export(function, platforms=[platform])(x, kernel).mlir_module()
    assert "stablehlo.convolution" in module and "dot_general" not in module and "concatenate" not in module
