"""Maps over images: stretched, resized and chosen, by hand."""

import jax
import numpy as np
import pytest

from jaxattn.explain.maps import over_image, stretch, strongest, zoom


def test_stretch_by_hand_and_a_constant_becomes_zero():
    maps = np.array([[[2.0, 4.0], [6.0, 3.0]], [[5.0, 5.0], [5.0, 5.0]]])
    np.testing.assert_array_equal(stretch(maps), [[[0, 0.5], [1, 0.25]], [[0, 0], [0, 0]]])


@pytest.mark.parametrize("value", [0.0, 1e-30, -3.7, 1e30])
def test_a_map_that_is_constant_but_for_rounding_stays_constant(value):
    maps = np.full((1, 3, 3), value, np.float32) * (1 + 1e-7 * np.arange(9, dtype=np.float32).reshape(1, 3, 3))
    np.testing.assert_array_equal(over_image(maps, 6, 6), np.zeros((1, 6, 6)))


def test_zoom_by_hand():
    # centres of cells at 1/4 and 3/4 of the side, of pixels at 1/8, 3/8, 5/8, 7/8: flat beyond the outer centres
    row = np.array([[[0.0, 1.0]]])
    np.testing.assert_allclose(zoom(row, 1, 4), [[[0, 0.25, 0.75, 1]]])


@pytest.mark.parametrize("size", [(8, 8), (12, 20), (7, 5)])
def test_zoom_equals_jaxs_linear_resize(size):
    maps = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(zoom(maps, *size), jax.image.resize(maps, (2, *size), "linear"), rtol=1e-4, atol=1e-5)


def test_zoom_of_one_cell_is_that_cell():
    np.testing.assert_array_equal(zoom(np.full((2, 1, 1), 3.0), 4, 6), np.full((2, 4, 6), 3.0))


def test_strongest_channels_by_hand():
    features = np.zeros((2, 2, 2, 4))
    features[0, 0, 0] = [1, 4, 2, 3]
    features[1, 1, 1] = [5, 5, 9, 0]  # a tie goes to the first
    channels, maps = strongest(features, 3)
    np.testing.assert_array_equal(channels, [[1, 3, 2], [2, 0, 1]])
    np.testing.assert_array_equal(maps[0, :, 0, 0], [4, 3, 2])
    np.testing.assert_array_equal(maps[1, :, 1, 1], [9, 5, 5])
    assert strongest(features, 9)[1].shape == (2, 4, 2, 2)
