"""Convolutions with groups, dilation and few channels equal XLA's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attention_runs import randoms

from jaxattn.layers.grouped_convolution import conv_general_dilated
from jaxattn.runtime import QUICK_COMPILE

CASES = {  # channels, features, size, stride, dilation, groups
    "rows": (2, 1, 7, 1, 1, 1),
    "rows with several features": (3, 2, 3, 1, 1, 1),
    "patches with dilation": (2, 3, 3, 1, 4, 1),
    "patches with stride": (2, 3, 3, 2, 1, 1),
    "taps": (6, 6, 3, 1, 2, 6),
    "taps with stride": (6, 6, 3, 2, 1, 6),
    "groups": (8, 8, 3, 1, 2, 4),
    "groups that widen": (4, 8, 3, 2, 1, 2),
    "a group for each channel that widens": (2, 4, 3, 1, 1, 2),
}


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradients_are_those_of_xla(case):
    channels, features, size, stride, dilation, groups = CASES[case]
    x, kernel = randoms(0, (2, 6, 9, channels)), randoms(1, (size, size, channels // groups, features))
    margin = dilation * (size - 1) // 2
    options = {
        "window_strides": (stride, stride),
        "padding": ((margin, margin), (margin, margin + 1)),
        "rhs_dilation": (dilation, dilation),
        "feature_group_count": groups,
        "dimension_numbers": jax.lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)),
    }

    @functools.partial(jax.jit, static_argnums=0, compiler_options=QUICK_COMPILE)
    def value_and_gradients(convolve, x, kernel):
        y, pull = jax.vjp(lambda x, kernel: convolve(x, kernel, **options), x, kernel)
        return y, pull(jnp.sin(y))

    found = value_and_gradients(conv_general_dilated, x, kernel)
    expected = value_and_gradients(jax.lax.conv_general_dilated, x, kernel)
    # sums of up to a hundred products of order one, in another order
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, expected)
