"""Scores of maps and of probabilities, on cases small enough to reckon by hand."""

import numpy as np
import pytest

from jaxattn import heatmap, scores

MASK = np.array([[[True, False], [True, False]]])


def test_object_share_and_pointing_by_hand():
    maps = np.array([[[3.0, 1.0], [0.0, 0.0]]])
    assert scores.object_share(maps, MASK) == pytest.approx([0.75])
    assert scores.pointing(maps, MASK) == pytest.approx([1.0])
    assert scores.pointing(np.ones((1, 2, 2)), MASK) == pytest.approx([0.5])  # an even map points at half
    assert scores.object_share(np.zeros((1, 2, 2)), MASK) == pytest.approx([0.5])


def test_pixels_are_removed_from_the_highest_down():
    maps = np.array([[[0.1, 0.9], [0.5, 0.3]]])
    np.testing.assert_array_equal(scores.removal_order(maps), [[[3, 0], [1, 2]]])
    images, fill = np.ones((1, 2, 2, 3)), np.zeros((1, 2, 2, 3))
    frames = scores.replaced(images, fill, scores.removal_order(maps), steps=2)
    np.testing.assert_array_equal(frames[..., 0], [[[[1, 1], [1, 1]]], [[[1, 0], [0, 1]]], [[[0, 0], [0, 0]]]])


def test_area_is_the_mean_height():
    assert scores.area(np.array([0.0, 1.0])) == pytest.approx(0.5)
    assert scores.area(np.array([1.0, 0.5, 0.0])) == pytest.approx(0.5)


def test_rank_correlation_ignores_scale_and_knows_opposites():
    maps = np.random.default_rng(0).random((1, 4, 4))
    assert scores.rank_correlation(maps, np.exp(3 * maps)) == pytest.approx([1.0])
    assert scores.rank_correlation(maps, -maps) == pytest.approx([-1.0])
    assert scores.rank_correlation(maps, np.ones((1, 4, 4))) == pytest.approx([0.0])


def test_calibration_error_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    found = scores.reliability(probabilities, np.array([0, 1, 1]), bins=10)
    assert found.error == pytest.approx((2 * abs(0.5 - 0.9) + abs(1 - 0.6)) / 3)
    assert found.count.sum() == 3


def test_confusion_counts_pairs_and_gives_intervals_that_hold_the_fraction():
    counts = scores.confusion(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 2]), 4)
    np.testing.assert_array_equal(counts, [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    fraction, interval = scores.per_class_accuracy(counts)
    np.testing.assert_allclose(fraction, [0.5, 1, 1, 0])
    assert (interval[:, 0] <= fraction).all() and (fraction <= interval[:, 1]).all()
    np.testing.assert_allclose(interval[0], [0.0945, 0.9055], atol=1e-3)  # Wilson, 1 of 2
    np.testing.assert_allclose(interval[3], [0, 1])


def test_spread_tells_a_constant_gate_from_one_that_knows_the_class():
    labels = np.array([0, 0, 1, 1])
    constant = scores.spread(np.tile([0.2, 0.8], (4, 1)), labels)
    assert constant.between_pictures == pytest.approx(0) and constant.between_channels == pytest.approx(0.3)
    assert scores.spread(np.array([[0.0], [0], [1], [1]]), labels).by_class == pytest.approx(1)
    assert scores.spread(np.array([[0.0], [1], [0], [1]]), labels).by_class == pytest.approx(0)


def test_strongest_channels_are_those_of_highest_mean():
    layer = np.zeros((1, 2, 2, 4), np.float32)
    layer[..., 1], layer[..., 3] = 2, 5
    channels, maps = heatmap.strongest(layer, 2)
    np.testing.assert_array_equal(channels, [[3, 1]])
    np.testing.assert_array_equal(maps[0, 0], np.full((2, 2), 5))


def test_constant_map_over_a_picture_stays_finite():
    over = heatmap.over_picture(np.full((1, 2, 2), 7.0), 8, 8)
    assert over.shape == (1, 8, 8) and np.isfinite(over).all() and np.ptp(over) == 0
