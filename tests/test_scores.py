"""Maps over pictures and what they are worth, by hand."""

import jax
import numpy as np
import pytest

from jaxattn import heatmap, scores

# maps over pictures


def test_stretch_by_hand_and_a_constant_is_nothing():
    maps = np.array([[[2.0, 4.0], [6.0, 3.0]], [[5.0, 5.0], [5.0, 5.0]]])
    np.testing.assert_array_equal(heatmap.stretch(maps), [[[0, 0.5], [1, 0.25]], [[0, 0], [0, 0]]])


@pytest.mark.parametrize("value", [0.0, 1e-30, -3.7, 1e30])
def test_a_map_that_is_constant_but_for_rounding_stays_one(value):
    maps = np.full((1, 3, 3), value, np.float32) * (1 + 1e-7 * np.arange(9, dtype=np.float32).reshape(1, 3, 3))
    np.testing.assert_array_equal(heatmap.over_picture(maps, 6, 6), np.zeros((1, 6, 6)))


def test_zoom_by_hand():
    # centres of cells at 1/4 and 3/4 of the side, of pixels at 1/8, 3/8, 5/8, 7/8: flat beyond the outer centres
    row = np.array([[[0.0, 1.0]]])
    np.testing.assert_allclose(heatmap.zoom(row, 1, 4), [[[0, 0.25, 0.75, 1]]])


@pytest.mark.parametrize("size", [(8, 8), (12, 20), (7, 5)])
def test_zoom_equals_jaxs_linear_resize(size):
    maps = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(
        heatmap.zoom(maps, *size), jax.image.resize(maps, (2, *size), "linear"), rtol=1e-4, atol=1e-5
    )


def test_zoom_of_one_cell_is_that_cell():
    np.testing.assert_array_equal(heatmap.zoom(np.full((2, 1, 1), 3.0), 4, 6), np.full((2, 4, 6), 3.0))


def test_strongest_channels_by_hand():
    features = np.zeros((2, 2, 2, 4))
    features[0, 0, 0] = [1, 4, 2, 3]
    features[1, 1, 1] = [5, 5, 9, 0]  # a tie goes to the first
    channels, maps = heatmap.strongest(features, 3)
    np.testing.assert_array_equal(channels, [[1, 3, 2], [2, 0, 1]])
    np.testing.assert_array_equal(maps[0, :, 0, 0], [4, 3, 2])
    np.testing.assert_array_equal(maps[1, :, 1, 1], [9, 5, 5])
    assert heatmap.strongest(features, 9)[1].shape == (2, 4, 2, 2)


# explanations

MASK = np.array([[[True, True], [False, False]]])


def test_object_share_by_hand():
    assert scores.object_share(np.array([[[1.0, 2.0], [3.0, 2.0]]]), MASK) == 3 / 8
    assert scores.object_share(np.zeros((1, 2, 2)), MASK & [[[True, False], [True, True]]]) == 1 / 4


def test_object_share_knows_no_scale():
    maps = np.random.default_rng(0).uniform(size=(1, 2, 2))
    np.testing.assert_allclose(scores.object_share(7 * maps, MASK), scores.object_share(maps, MASK), rtol=1e-12)


def test_pointing_by_hand_and_a_shared_peak_counts_in_parts():
    assert scores.pointing(np.array([[[0.0, 9.0], [1.0, 2.0]]]), MASK) == 1
    assert scores.pointing(np.array([[[0.0, 1.0], [9.0, 2.0]]]), MASK) == 0
    assert scores.pointing(np.array([[[9.0, 1.0], [9.0, 9.0]]]), MASK) == 1 / 3


def test_removal_order_is_highest_first_and_random_among_equals():
    np.testing.assert_array_equal(scores.removal_order(np.array([[[0.1, 0.9], [0.5, 0.3]]])), [[[3, 0], [1, 2]]])
    even = scores.removal_order(np.zeros((2, 8, 8)))
    np.testing.assert_array_equal(np.sort(even.reshape(2, -1)), [np.arange(64)] * 2)
    assert not np.array_equal(even[0], np.arange(64).reshape(8, 8)) and not np.array_equal(even[0], even[1])


def test_replaced_takes_the_first_ranks_first():
    ranks = np.array([[[3, 0], [1, 2]]])
    frames = scores.replaced(np.zeros((1, 2, 2, 3)), np.ones((1, 2, 2, 3)), ranks, 4)
    assert frames.shape == (5, 1, 2, 2, 3)
    np.testing.assert_array_equal(frames[:, 0, :, :, 0].sum(axis=(1, 2)), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(frames[2, 0, :, :, 0], [[0, 1], [1, 0]])


def test_blurring_keeps_a_constant_and_the_mean_colour():
    np.testing.assert_allclose(scores.blurred(np.full((1, 8, 16, 3), 90, np.uint8)), 90, rtol=1e-5)
    spot = np.zeros((1, 33, 33, 3), np.uint8)
    spot[0, 16, 16] = 255
    assert scores.blurred(spot).max() < 6
    np.testing.assert_allclose(scores.blurred(spot).sum(), spot.sum(dtype=float), rtol=1e-3)


def test_area_by_hand():
    np.testing.assert_allclose(
        scores.area(np.array([[1.0, 1.0, 1.0], [1.0, 0.5, 0.0], [0.0, 0.0, 1.0]])), [1, 0.5, 0.25]
    )


def test_rank_correlation_by_hand():
    one = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    assert scores.rank_correlation(one, np.exp(one)) == pytest.approx(1)
    assert scores.rank_correlation(one, -one) == pytest.approx(-1)
    # ranks 1 2 3 4 and 1 3 2 4: 1 - 6 * (1 + 1) / (4 * 15)
    assert scores.rank_correlation(one, np.array([[[1.0, 3.0], [2.0, 4.0]]])) == pytest.approx(0.8)


def test_rank_correlation_with_a_constant_is_defined():
    one, constant = np.array([[[1.0, 2.0], [3.0, 4.0]]]), np.full((1, 2, 2), 7.0)
    assert scores.rank_correlation(one, constant) == 0
    assert scores.rank_correlation(constant, constant + 1) == 1


# the classifier


def test_reliability_by_hand():
    sure = np.array([0.95, 0.85, 0.55, 0.65])  # the second and the fourth answer are wrong
    probabilities = np.stack([sure, 1 - sure], axis=1)
    found = scores.reliability(probabilities, np.array([0, 1, 0, 1]), bins=2)
    np.testing.assert_array_equal(found.count, [0, 4])
    np.testing.assert_allclose(found.confidence, [0.25, 0.75])
    np.testing.assert_allclose(found.accuracy, [0, 0.5])
    assert found.error == pytest.approx(0.25)
    found = scores.reliability(probabilities, np.array([0, 1, 0, 1]), bins=10)
    assert found.error == pytest.approx((0.05 + 0.85 + 0.45 + 0.65) / 4)


def test_a_calibrated_classifier_has_no_error():
    probabilities = np.tile([0.75, 0.25], (8, 1))
    assert scores.reliability(probabilities, np.array([0, 0, 0, 1] * 2)).error == pytest.approx(0)


def test_confusion_by_hand():
    counts = scores.confusion(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), 3)
    np.testing.assert_array_equal(counts, [[1, 1, 0], [0, 1, 1], [0, 0, 0]])


def test_accuracy_by_class_with_wilsons_interval():
    accuracy, interval = scores.per_class_accuracy(np.array([[8, 2, 0], [0, 0, 0], [0, 0, 5]]))
    np.testing.assert_allclose(accuracy, [0.8, 0, 1])
    np.testing.assert_allclose(interval[0], [0.4902, 0.9433], atol=1e-4)  # as tables give for 8 of 10
    np.testing.assert_array_equal(interval[1], [0, 1])
    np.testing.assert_allclose(interval[2], [0.5655, 1], atol=1e-4)


# gates


def test_spread_by_hand():
    labels = np.array([0, 0, 1, 1])
    by_class = np.array([[0.2, 0.9], [0.2, 0.9], [0.4, 0.5], [0.4, 0.5]])
    found = scores.spread(by_class, labels)
    assert found.between_pictures == pytest.approx(np.sqrt((0.1**2 + 0.2**2) / 2))
    assert found.between_channels == pytest.approx(0.2)  # means .3 and .7
    assert found.by_class == pytest.approx(1)
    assert scores.spread(by_class, np.array([0, 1, 0, 1])).by_class == pytest.approx(0)


def test_a_constant_gate_has_no_spread():
    assert scores.spread(np.full((5, 3), 0.3, np.float32), np.array([0, 1, 0, 1, 2])) == (0, 0, 0)


def test_means_by_class_by_hand():
    means = scores.class_means(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(means, [[2, 3], [np.nan, np.nan], [5, 6]])
