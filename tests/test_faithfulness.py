"""Scores of maps as explanations, by hand."""

import numpy as np
import pytest

from jaxattn.explain.faithfulness import (
    area,
    blurred,
    mass_on_object,
    pointing,
    rank_correlation,
    removal_order,
    replace_pixels,
)

MASK = np.array([[[True, True], [False, False]]])


def test_mass_on_object_by_hand_and_zeros_count_as_uniform():
    assert mass_on_object(np.array([[[1.0, 2.0], [3.0, 2.0]]]), MASK) == 3 / 8
    assert mass_on_object(np.zeros((1, 2, 2)), MASK & [[[True, False], [True, True]]]) == 1 / 4


def test_mass_on_object_ignores_the_scale_of_a_map():
    maps = np.random.default_rng(0).uniform(size=(1, 2, 2))
    np.testing.assert_allclose(mass_on_object(7 * maps, MASK), mass_on_object(maps, MASK), rtol=1e-12)


def test_pointing_by_hand_and_a_shared_maximum_counts_in_parts():
    assert pointing(np.array([[[0.0, 9.0], [1.0, 2.0]]]), MASK) == 1
    assert pointing(np.array([[[0.0, 1.0], [9.0, 2.0]]]), MASK) == 0
    assert pointing(np.array([[[9.0, 1.0], [9.0, 9.0]]]), MASK) == 1 / 3


def test_removal_order_is_highest_first_and_random_among_equals():
    np.testing.assert_array_equal(removal_order(np.array([[[0.1, 0.9], [0.5, 0.3]]])), [[[3, 0], [1, 2]]])
    uniform = removal_order(np.zeros((2, 8, 8)))
    np.testing.assert_array_equal(np.sort(uniform.reshape(2, -1)), [np.arange(64)] * 2)
    assert not np.array_equal(uniform[0], np.arange(64).reshape(8, 8))
    assert not np.array_equal(uniform[0], uniform[1])


def test_pixels_are_replaced_in_the_order_of_their_ranks():
    ranks = np.array([[[3, 0], [1, 2]]])
    frames = replace_pixels(np.zeros((1, 2, 2, 3)), np.ones((1, 2, 2, 3)), ranks, 4)
    assert frames.shape == (5, 1, 2, 2, 3)
    np.testing.assert_array_equal(frames[:, 0, :, :, 0].sum(axis=(1, 2)), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(frames[2, 0, :, :, 0], [[0, 1], [1, 0]])


def test_blurring_keeps_a_constant_and_the_mean_colour():
    np.testing.assert_allclose(blurred(np.full((1, 8, 16, 3), 90, np.uint8)), 90, rtol=1e-5)
    spot = np.zeros((1, 33, 33, 3), np.uint8)
    spot[0, 16, 16] = 255
    assert blurred(spot).max() < 6
    np.testing.assert_allclose(blurred(spot).sum(), spot.sum(dtype=float), rtol=1e-3)


def test_area_by_hand():
    curves = np.array([[1.0, 1.0, 1.0], [1.0, 0.5, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(area(curves), [1, 0.5, 0.25])


def test_rank_correlation_by_hand():
    one = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    assert rank_correlation(one, np.exp(one)) == pytest.approx(1)
    assert rank_correlation(one, -one) == pytest.approx(-1)
    # ranks 1 2 3 4 and 1 3 2 4: 1 - 6 * (1 + 1) / (4 * 15)
    assert rank_correlation(one, np.array([[[1.0, 3.0], [2.0, 4.0]]])) == pytest.approx(0.8)


def test_a_constant_map_has_no_rank_correlation():
    one, constant = np.array([[[1.0, 2.0], [3.0, 4.0]]]), np.full((1, 2, 2), 7.0)
    pairs = np.concatenate([one, constant, constant]), np.concatenate([constant, one, constant + 1])
    np.testing.assert_array_equal(rank_correlation(*pairs), [np.nan] * 3)
