"""Each module against its paper's equations, written out in NumPy at float64."""

import jax
import numpy as np
import pytest
from attention_runs import NAMES, randoms, runs, variables
from references import REFERENCES, Parameters, eca_kernel

from jaxattn.attention import ATTENTION
from jaxattn.attention.eca import kernel_size


def test_every_module_has_a_reference():
    assert REFERENCES.keys() == ATTENTION.keys()


@pytest.mark.parametrize("name", NAMES)
def test_output_is_what_the_paper_writes(name):
    for train, run in runs(name).items():
        expected = REFERENCES[name](Parameters(variables(name), train), randoms(2).astype(np.float64))
        # float32 against float64 on numbers of order one
        np.testing.assert_allclose(run.y, expected, rtol=1e-5, atol=1e-5, err_msg=f"train={train}")


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_the_slope_of_what_the_paper_writes(name):
    x, weights = randoms(2).astype(np.float64), randoms(3).astype(np.float64)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables(name).get("params", {}))
    rest = {key: value for key, value in variables(name).items() if key != "params"}
    random = np.random.default_rng(4)
    for train, run in runs(name).items():
        # a direction in all parameters and in x at once; `random` holds its parameters fixed
        toward = jax.tree.map(lambda leaf: random.normal(size=leaf.shape) * (name != "random"), params)
        x_toward = random.normal(size=x.shape)

        def loss(step, train=train, toward=toward, x_toward=x_toward):
            moved = jax.tree.map(lambda leaf, change: leaf + step * change, params, toward)
            return np.sum(weights * REFERENCES[name](Parameters({"params": moved} | rest, train), x + step * x_toward))

        slope = (loss(1e-6) - loss(-1e-6)) / 2e-6
        products = jax.tree.map(np.vdot, run.gradients, toward)
        found = sum(jax.tree.leaves(products)) + np.vdot(run.x_gradient, x_toward)
        # a sum of a few hundred float32 gradients of order one, some of them cancelling
        np.testing.assert_allclose(found, slope, rtol=1e-4, atol=1e-3, err_msg=f"train={train}")


@pytest.mark.parametrize("channels", [1, 2, 4, 8, 20, 32, 64, 100, 128, 256, 512, 2048])
def test_eca_kernel_is_the_nearest_odd_number(channels):
    assert kernel_size(channels) == eca_kernel(channels)


def test_eca_kernel_in_this_network_is_3_3_5():
    assert [kernel_size(channels) for channels in (32, 64, 128)] == [3, 3, 5]
