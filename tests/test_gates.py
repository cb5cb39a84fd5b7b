"""How gates vary, by hand."""

import numpy as np
import pytest

from jaxattn.explain.gates import class_means, gate_limits, spread


def test_spread_by_hand():
    labels = np.array([0, 0, 1, 1])
    by_class = np.array([[0.2, 0.9], [0.2, 0.9], [0.4, 0.5], [0.4, 0.5]])
    found = spread(by_class, labels)
    assert found.between_images == pytest.approx(np.sqrt((0.1**2 + 0.2**2) / 2))
    assert found.between_channels == pytest.approx(0.2)  # means .3 and .7
    assert found.by_class == pytest.approx(1)
    assert spread(by_class, np.array([0, 1, 0, 1])).by_class == pytest.approx(0)


def test_a_constant_gate_has_no_spread():
    assert spread(np.full((5, 3), 0.3, np.float32), np.array([0, 1, 0, 1, 2])) == (0, 0, 0)


def test_class_means_by_hand():
    means = class_means(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(means, [[2, 3], [np.nan, np.nan], [5, 6]])


@pytest.mark.parametrize("values", [(0.2, 0.9), (0.0, 1.0), (0.5, 0.5)])
def test_gates_between_0_and_1_have_that_scale(values):
    assert gate_limits([np.array(values), np.array([0.4])]) == (0, 1)


def test_gates_beyond_0_and_1_widen_the_scale():
    assert gate_limits([np.array([-2.0, 0.5]), np.array([3.0])]) == (-2, 3)
