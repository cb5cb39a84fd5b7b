"""The statistics of a comparison, by hand and against other packages."""

import math

import numpy as np
import pytest
import scipy

from jaxattn.comparison.looks import look_alpha, real_alpha
from jaxattn.comparison.statistics import (
    class_differences,
    crossed_interval,
    outliers,
    power,
    seeds_needed,
    seeds_range,
    t_interval,
    welch,
)
from jaxattn.errors import InputError


@pytest.mark.parametrize(("n", "k"), [(2, 2), (3, 8), (8, 8), (12, 5)])
def test_welch_equals_scipys(n, k):
    random = np.random.default_rng(n)
    for digits in (0, 1, 4):
        values, others = np.round(random.normal(0.4, 1, n), digits), np.round(random.normal(0, 3, k), digits)
        found, wanted = welch(values, others), scipy.stats.ttest_ind(values, others, equal_var=False)
        assert found.p() == pytest.approx(wanted.pvalue) and found.freedom == pytest.approx(wanted.df)
        for level in (0.9, 0.95, 0.99):
            np.testing.assert_allclose(found.interval(level), wanted.confidence_interval(level))


def test_welch_of_many_comparisons_is_that_of_each():
    values, others = np.random.default_rng(0).normal(size=(2, 5, 3, 6))
    found = welch(values, others[:, :1])
    for i, j in ((0, 0), (4, 2)):
        one = welch(values[i, j], others[i, 0])
        np.testing.assert_allclose([found.mean[i, j], found.error[i, j], found.freedom[i, j]], one)
        np.testing.assert_allclose(found.interval(0.95)[i, j], one.interval(0.95))
        np.testing.assert_allclose(found.p()[i, j], one.p())


def test_welch_without_any_spread():
    same = welch(np.full(8, 80.1), np.full(8, 80.1))
    assert same.interval(0.95).tolist() == [0, 0] and same.p() == 1
    other = welch(np.full(8, 80.5), np.full(8, 80.1))
    np.testing.assert_allclose(other.interval(0.95), [0.4, 0.4])
    assert other.p() == 0 and other.error == 0  # 0.1 is no binary fraction: a naive variance is above 0
    half = welch(np.array([80.0, 82.0]), np.full(2, 80.0))
    assert half.freedom == 1 and half.error == 1


@pytest.mark.parametrize("n", [2, 3, 8, 12])
def test_t_interval_equals_scipys(n):
    a, b = np.random.default_rng(n).normal(0.4, 1, (2, n))
    for level in (0.9, 0.95):
        np.testing.assert_allclose(t_interval(a - b, level), scipy.stats.ttest_rel(a, b).confidence_interval(level))


def test_one_value_has_no_interval():
    assert np.isnan(t_interval(np.ones((3, 1)))).all() and t_interval(np.ones((3, 1))).shape == (3, 2)


# planning


def test_power_and_seeds_equal_statsmodels():
    solver = pytest.importorskip("statsmodels.stats.power").TTestIndPower()
    for ratio, alpha in [(0.6, 0.05), (2, 0.05), (0.95, 0.05), (0.7, 0.01), (2, 0.05 / 9)]:
        for n in (8, 20):
            assert power(n, 1 / ratio, 1, alpha) == pytest.approx(solver.power(ratio, n, alpha), abs=2e-3)
        wanted = math.ceil(solver.solve_power(effect_size=ratio, alpha=alpha, power=0.8))
        assert seeds_needed(1 / ratio, 1, alpha) == wanted


def test_few_and_many_seeds():
    assert [seeds_needed(sd, 0.5) for sd in (0, 1e-300, 1e-3, 0.01)] == [3] * 4
    assert seeds_needed(35.0, 0.5) == 1000  # and not counted further
    with pytest.raises(InputError, match=r"^effect must be above 0, got 0$"):
        seeds_needed(1.0, 0)


def test_the_range_of_seeds_is_that_of_the_spread():
    low, high = (0.25 * math.sqrt(14 / scipy.stats.chi2.ppf(q, 14)) for q in (0.9, 0.1))
    assert seeds_range(0.25, 14, 0.5) == (seeds_needed(low, 0.5), seeds_needed(high, 0.5)) == (4, 9)
    assert seeds_range(0.25, 2, 0.5)[1] > 30 > seeds_range(0.25, 200, 0.5)[1]


# looks


def test_limits_for_looks_are_pococks():
    # Pocock's constants for 2, 3 and 5 equal steps: 2.178, 2.289 and 2.413
    for looks, constant in (((1, 2), 2.178), ((4, 8, 12), 2.289), ((2, 4, 6, 8, 10), 2.413)):
        assert look_alpha(looks, 1) == pytest.approx(2 * scipy.stats.norm.sf(constant), rel=0.03)
    assert look_alpha((8,), 9) == look_alpha((), 1) == 0.05


@pytest.mark.parametrize("variants", [1, 5])
def test_looks_that_were_planned_keep_5_percent_and_others_what_is_said(variants):
    looks, x = (6, 9, 12), np.random.default_rng(0).normal(size=(20_000, 1 + variants, 12))
    p = np.stack([variants * welch(x[:, 1:, :n], x[:, :1, :n]).p().min(axis=1) for n in looks], axis=1)
    assert 0.04 < np.mean((p <= look_alpha(looks, variants)).any(axis=1)) <= 0.052
    said = real_alpha(looks, [variants] * 3, [0.05] * 3)
    assert 0.07 < np.mean((p <= 0.05).any(axis=1)) <= said + 0.002 <= 0.1


def test_variants_that_are_added_after_a_look_count():
    assert real_alpha((8,), (1,), (0.05,)) == pytest.approx(0.05, abs=0.002)
    assert 0.06 < real_alpha((8, 8), (1, 2), (0.05, 0.05)) < 0.08
    assert real_alpha((8, 8), (2, 2), (0.05, 0.05)) == real_alpha((8,), (2,), (0.05,))


# outliers


def test_outliers_by_hand():
    values = np.array([80.0, 80.1, 80.2, 80.3, 80.4, 10.0])
    assert outliers(values, 0.05).tolist() == [False] * 5 + [True]
    # quartiles 80.025 and 80.275, median distance 0.15: the limit is 5 × 1.4826 × 0.15 = 1.11
    assert outliers(np.array([80.0, 80.1, 80.2, 80.3, 80.4, 79.1]), 0.05).tolist() == [False] * 6
    assert outliers(np.array([80.0, 80.1, 80.2, 80.3, 80.4, 79.0]), 0.05).tolist() == [False] * 5 + [True]
    assert not outliers(np.array([80.0, 80.0, 80.0, 10.0]), 0.05).any()  # of four, which one is it?
    assert not outliers(np.array([80.0] * 7 + [80.2]), 0.05).any()
    assert not outliers(np.array([80.0] * 5 + [82.0] * 3), 0.05).any()  # more than half are equal


# test images


def test_crossed_interval_by_hand():
    correct_a, correct_b = np.array([[True, True], [True, False]]), np.zeros((2, 2), bool)
    # variances: of seeds 1250 / 2, of images 625 / 2, of single answers 625 / 2
    assert crossed_interval(correct_a, correct_b) == pytest.approx((75 - 12.7062 * 25, 75 + 12.7062 * 25), rel=1e-5)
    assert crossed_interval(correct_a, correct_a) == (0, 0)
    answers = np.eye(2, dtype=bool)  # seeds and images are all alike: the variance is not below that of the seeds
    assert crossed_interval(answers, ~answers) == (0, 0)
    assert np.isnan(crossed_interval(correct_a[:1], correct_b[:1])).all()


def networks(random, seeds, images, seed_variance=0.003):
    """Which images two variants get right; a network's logit has unit variance over seeds, images and both."""
    difficulty = random.normal(0, math.sqrt(0.6), images)
    made = []
    for mean in (1.05, 1.0):
        by_seed = random.normal(0, math.sqrt(seed_variance), (seeds, 1))
        by_image = difficulty + random.normal(0, math.sqrt(0.1), images)
        made.append(mean + by_seed + by_image + random.normal(0, math.sqrt(0.3 - seed_variance), (seeds, images)) > 0)
    return made


@pytest.mark.parametrize(("seeds", "seed_variance"), [(5, 0.003), (8, 0.02)])
def test_crossed_interval_covers_the_difference_over_new_seeds_and_images(seeds, seed_variance):
    random = np.random.default_rng(0)
    intervals = np.array([crossed_interval(*networks(random, seeds, 300, seed_variance)) for _ in range(1000)])
    truth = 100 * np.diff(scipy.special.ndtr([1.0, 1.05])).item()
    assert np.mean((intervals[:, 0] < truth) & (truth < intervals[:, 1])) >= 0.935
    half = np.diff(intervals).ravel() / 2 / scipy.special.stdtrit(seeds - 1, 0.975)
    assert np.sqrt(np.mean(half**2)) == pytest.approx(intervals.mean(axis=1).std(), rel=0.08)


def test_crossed_interval_is_the_bootstraps_corrected():
    random = np.random.default_rng(0)
    S, N = 6, 400
    correct_a, correct_b = networks(random, S, N, seed_variance=0.01)
    change = 100.0 * correct_a - 100.0 * correct_b
    seeds = random.multinomial(S, np.full(S, 1 / S), 2000) / S
    images = random.multinomial(N, np.full(N, 1 / N), 2000) / N
    one, other = (seeds @ change.mean(axis=1)).var(), (images @ change.mean(axis=0)).var()
    answers = ((seeds @ change) * images).sum(axis=1).var() - one - other
    wanted = math.sqrt((one - answers) * S / (S - 1) + other)
    low, high = crossed_interval(correct_a, correct_b)
    assert (low + high) / 2 == pytest.approx(change.mean())
    assert (high - low) / 2 / scipy.special.stdtrit(S - 1, 0.975) == pytest.approx(wanted, rel=0.05)


def test_differences_by_class_by_hand():
    correct_a = np.array([[True, True, False], [True, False, True]])
    correct_b = np.array([[False, True, False], [False, False, False]])
    mean, interval = class_differences(correct_a, correct_b, np.array([0, 0, 1]), classes=3)
    np.testing.assert_allclose(mean, [50, 50, np.nan])  # class 0: 50 and 50, class 1: 0 and 100, class 2: no image
    half = 50 * scipy.stats.t.ppf(1 - 0.05 / 3 / 2, 1)
    np.testing.assert_allclose(interval, [[50, 50], [50 - half, 50 + half], [np.nan] * 2])
    mean, interval = class_differences(correct_a[:1], correct_b[:1], np.array([0, 0, 1]), classes=2)
    np.testing.assert_allclose(mean, [50, 0])
    assert np.isnan(interval).all()
