"""The rule that says whether a variant helps: by hand, against other packages, and how often it errs in simulation."""

import math

import numpy as np
import pytest
import scipy

from jaxattn.comparison.statistics import (
    class_differences,
    crossed_interval,
    direction,
    equivalent,
    holm,
    pairs_needed,
    sign_flip_p,
    smallest_p,
    t_interval,
)
from jaxattn.comparison.verdict import Difference, difference, judge, paired, summary
from jaxattn.errors import InputError

HALVES = np.array([1, 1, 1, 1, -1, -1, -1, -1])  # mean ± s: the 95 % interval is mean ± 2.3646 s / √7 = mean ± 0.894 s
TURNED = np.array([1, -1, 1, -1, 1, -1, 1, -1])


def trained(**points):
    """Accuracies of a baseline at 80 %, and of variants that differ from it by so many points, seed by seed."""
    seeds = max(map(len, points.values()))
    variants = {name.replace("_", ":"): values for name, values in {"none": np.zeros(seeds), **points}.items()}
    return {name: {seed: 0.8 + d / 100 for seed, d in enumerate(values)} for name, values in variants.items()}


def verdict(points, planned=8):
    return judge(trained(se=points), "none", planned).rows[1].verdict


# the verdict, by hand


def test_what_helps():
    assert verdict(0.6 + 0.45 * HALVES) == ("helps", "helps: +0.6 points (95 % 0.2 to 1.0), 8 seeds")


def test_what_hurts():
    assert verdict(-0.6 + 0.45 * HALVES) == ("hurts", "hurts: -0.6 points (95 % -1.0 to -0.2), 8 seeds")


def test_no_effect():
    # the 90 % interval is mean ± 1.8946 × 0.2 / √7 = mean ± 0.143
    wanted = "no effect larger than 0.3 points (90 % -0.1 to 0.2), 8 seeds"
    assert verdict(0.05 + 0.2 * HALVES) == ("equivalent", wanted)


def test_no_effect_is_said_with_the_interval_that_was_tested():
    points = 0.1 + 0.25 * HALVES
    assert t_interval(points)[1] > 0.3 > t_interval(points, 0.9)[1]
    assert verdict(points).text == "no effect larger than 0.3 points (90 % -0.1 to 0.3), 8 seeds"


def test_what_cannot_be_told_says_how_many_seeds_it_takes():
    needed = pairs_needed(0.67 * math.sqrt(8 / 7), 0.5)
    assert needed == 19  # as statsmodels finds below
    wanted = "cannot tell: +0.2 points (95 % -0.4 to 0.8), 8 seeds; at this spread, seeing 0.5 points takes 19 seeds"
    assert verdict(0.2 + 0.67 * HALVES) == ("cannot tell", wanted)


def test_what_is_small_and_not_ruled_out_cannot_be_told_by_enough_seeds():
    wanted = "cannot tell: +0.2 points (95 % -0.2 to 0.6), 8 seeds; at this spread, they are enough to see 0.5 points"
    assert pairs_needed(0.4 * math.sqrt(8 / 7), 0.5) == 8
    assert verdict(0.2 + 0.4 * HALVES) == ("cannot tell", wanted)


def test_more_variants_take_more_seeds():
    five = judge(trained(**{f"v{i}": 0.2 + 0.67 * HALVES for i in range(5)}), "none", 8)
    needed = pairs_needed(0.67 * math.sqrt(8 / 7), 0.5, alpha=0.01)
    assert needed > 19 and five.rows[1].verdict.text.endswith(f"seeing 0.5 points takes {needed} seeds")


def test_a_small_effect_that_is_shown_is_called_small():
    wanted = "helps: +0.10 points (95 % 0.02 to 0.18), 8 seeds; less than 0.3 points"
    assert verdict(0.1 + 0.09 * HALVES) == ("helps", wanted)  # one digit would print 0.0 to 0.2


def test_one_large_difference_shows_nothing():
    points = np.array([9.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    assert sign_flip_p(points) == 2 / 2**8 and t_interval(points)[0] < 0
    assert verdict(points).kind == "cannot tell"


def test_with_too_few_seeds_nothing_can_be_shown():
    found = verdict(1 + 0.05 * HALVES[2:6], planned=4)
    assert found.kind == "cannot tell"
    assert "4 seeds, too few to show any difference; at this spread, seeing 0.5 points takes 6 seeds" in found.text
    seven = judge(trained(**{f"v{i}": 1 + 0.05 * HALVES for i in range(7)}), "none", 8)  # 7 × 2 / 256 > 0.05
    assert {row.verdict.kind for row in seven.rows[1:]} == {"cannot tell"}
    assert all("too few" in row.verdict.text for row in seven.rows[1:])


def test_before_the_planned_seeds_are_complete_nothing_is_decided():
    assert verdict(np.full(5, 0.3)) == ("provisional", "provisional, 5 of 8 seeds: +0.3 points so far")
    assert verdict(np.zeros(5)) == ("provisional", "provisional, 5 of 8 seeds: +0.0 points so far")


def test_one_seed_has_no_verdict():
    row = judge(trained(se=[0.3]), "none", 8, images=10_000).rows[1]
    assert row.verdict == ("none", "one seed: no spread, no verdict")
    assert row.variant == ("se", 1, pytest.approx(0.803), None)
    assert row.difference == Difference(1, pytest.approx(0.3), None, None, 1.0, None, 1.0, pytest.approx(30))


def test_without_a_common_seed_there_is_no_difference():
    found = judge({"none": {0: 0.8, 1: 0.8}, "se": {2: 0.9}, "eca": {}}, "none", 2)
    assert [row.difference for row in found.rows] == [None] * 3
    assert found.rows[1].verdict == ("none", "no seed in common with the baseline, no verdict")
    assert found.rows[2].variant == ("eca", 0, None, None)


def test_identical_runs():
    row = judge(trained(se=np.zeros(8)), "none", 8).rows[1]
    assert row.verdict == ("equivalent", "identical in all 8 seeds")
    assert row.difference == (8, 0, 0, (0, 0), 1, 1, 0.5, None)


def test_the_same_difference_in_every_pair():
    assert verdict(np.full(8, 0.4)).text == "helps: +0.4 points (95 % 0.4 to 0.4), 8 seeds"
    four = verdict(np.full(4, 0.4), planned=4).text
    assert four.endswith("4 seeds, too few to show any difference; at this spread, seeing 0.5 points takes 6 seeds")


def test_only_seeds_that_both_have_are_compared():
    scores, reference = {0: 0.81, 1: 0.83, 5: 0.1}, {1: 0.82, 0: 0.8, 7: 0.9}
    np.testing.assert_allclose(paired(scores, reference), [1, 1])
    found = judge({"none": reference, "se": scores}, "none", 3).rows
    assert found[1].verdict.text == "provisional, 2 of 3 seeds: +1.0 points so far"
    assert [row.variant.n for row in found] == [3, 3]


def test_ties_are_half_a_win():
    assert difference(np.array([1.0, 0, -1, 2])).wins == 0.625


def test_the_numbers_of_a_variant_and_of_a_difference():
    assert summary("se", {0: 0.8, 3: 0.82, 1: 0.84}) == ("se", 3, pytest.approx(0.82), pytest.approx(0.02))
    found = difference(np.array([1.0, 2, 3]), 0.75, images=200)
    half = 4.302653 / math.sqrt(3)
    assert found[:3] == (3, 2, 1) and found.interval == pytest.approx((2 - half, 2 + half))
    assert found[4:] == (0.25, 0.75, 1, 4)  # +++ and --- of 8 patterns; 2 points of 200 images


def test_the_baseline_comes_first_and_the_rest_as_given():
    found = judge(trained(se=np.zeros(2), eca=np.zeros(2)), "se", 2)
    assert [row.variant.name for row in found.rows] == ["se", "none", "eca"]
    assert found.rows[0][1:] == (None, None) and (found.baseline, found.planned) == ("se", 2)


def test_an_unfinished_variant_counts_in_the_family_and_does_not_undo_what_is_shown():
    points = {"se": 0.6 + 0.45 * HALVES, "eca": 0.2 + 0.67 * HALVES}
    early = judge(trained(**points, cbam=np.ones(3)), "none", 8).rows
    assert [row.difference.holm for row in early[1:]] == [pytest.approx(3 * 2 / 256), 1, None]
    for cbam in (np.ones(8), -0.2 + HALVES):
        late = judge(trained(**points, cbam=cbam), "none", 8).rows
        assert late[1].verdict == early[1].verdict and late[1].difference.holm <= early[1].difference.holm


# controls


def helped(**controls):
    gain = 0.6 + 0.45 * HALVES
    points = {name: gain[: len(behind)] - behind for name, behind in controls.items()}
    return judge(trained(se=gain, **points), "none", 8).rows[1].verdict


def test_what_does_not_beat_a_control_is_said_to_be_explained_by_it():
    found = helped(constant=0.1 + 0.33 * TURNED, wide_se=0.2 + 0.33 * TURNED, random=np.full(8, 0.5))
    assert found == (
        "helps",
        "helps: +0.6 points (95 % 0.2 to 1.0), 8 seeds, but it is not shown to beat the control constant (+0.1 points, "
        "95 % -0.2 to 0.4): scaling may explain it; it is not shown to beat the control wide:se (+0.2 points, "
        "95 % -0.1 to 0.5): capacity may explain it",
    )


def test_what_beats_all_controls():
    found = helped(shuffled=0.4 + 0.33 * TURNED, wide_16=np.full(8, 0.1)).text
    assert found == "helps: +0.6 points (95 % 0.2 to 1.0), 8 seeds; it also beats shuffled, wide:16"


def test_controls_that_are_not_complete_or_identical_are_not_beaten():
    found = helped(random=np.ones(5)).text
    assert found.endswith(", 8 seeds, but it shares only 5 of 8 seeds with the control random so far")
    assert "beat the control constant (+0.0 points, 95 % 0.0 to 0.0)" in helped(constant=np.zeros(8)).text


def test_a_control_is_compared_with_no_control():
    found = judge(trained(constant=0.6 + 0.45 * HALVES, random=0.6 + 0.45 * HALVES), "none", 8)
    assert {row.verdict.text for row in found.rows[1:]} == {"helps: +0.6 points (95 % 0.2 to 1.0), 8 seeds"}


def test_a_baseline_that_is_a_control_is_not_compared_twice():
    found = judge({"constant": {i: 0.8 for i in range(8)}, "se": {i: 0.9 for i in range(8)}}, "constant", 8)
    assert found.rows[1].verdict.text == "helps: +10.0 points (95 % 10.0 to 10.0), 8 seeds"


# what is refused


@pytest.mark.parametrize("value", [math.nan, -0.1, 84.3, math.inf])
def test_an_accuracy_that_is_no_fraction_is_refused(value):
    message = rf"^accuracy of se, seed 3, must be a fraction from 0 to 1, got {value}$"
    with pytest.raises(InputError, match=message):
        judge({"none": {0: 0.8}, "se": {0: 0.8, 3: value}}, "none", 2)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match=r"^unknown baseline 'plain'; known are none, se$"):
        judge(trained(se=[1.0]), "plain", 2)
    for few in ({}, {"none": {0: 0.8}}):
        with pytest.raises(InputError, match=rf"^a comparison takes at least 2 variants, got {len(few)}$"):
            judge(few, "none", 2)
    with pytest.raises(InputError, match=r"^effect must be above 0, got 0$"):
        pairs_needed(1.0, 0)


# the parts, by value


@pytest.mark.parametrize("n", [2, 3, 8, 12])
def test_t_interval_and_sign_flip_equal_scipys(n):
    random = np.random.default_rng(n)
    for digits in (0, 1, 4):  # few digits make ties
        a, b = np.round(random.normal(0.4, 1, (2, n)), digits)
        t_test = scipy.stats.ttest_rel(a, b)
        for level in (0.9, 0.95):
            np.testing.assert_allclose(t_interval(a - b, level), t_test.confidence_interval(level))
        flipped = scipy.stats.permutation_test(
            (a - b,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
        )
        np.testing.assert_allclose(sign_flip_p(a - b), flipped.pvalue)


def test_sign_flip_by_hand():
    assert sign_flip_p(np.array([3.0])) == 1
    assert sign_flip_p(np.array([1.0, 2, 3])) == 0.25
    assert sign_flip_p(np.array([-1.0, 2, 3])) == 0.5  # 4 or more: ±(1, 2, 3) and ±(-1, 2, 3)
    np.testing.assert_array_equal(sign_flip_p(np.array([[0.1, 0.2, 0.3], [0, 0, 0]])), [0.25, 1])
    assert sign_flip_p(np.ones(16)) == smallest_p(16) == 2 / 2**16


def test_many_pairs_are_flipped_at_random():
    differences = np.random.default_rng(0).normal(0.6, 1, 17)
    sums = np.zeros(1)
    for value in differences:
        sums = np.concatenate([sums + value, sums - value])
    exact = np.mean(np.abs(sums) >= np.abs(differences.sum()) - 1e-9)
    assert 0.01 < exact < 0.5 and sign_flip_p(differences) == pytest.approx(exact, abs=0.005)
    assert sign_flip_p(np.ones(40)) == 1e-5  # the observed pattern counts
    assert sign_flip_p(np.zeros(40)) == 1


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03])), [0.06, 0.03, 0.06])
    np.testing.assert_allclose(holm(np.array([[0.5, 0.6], [0.02, 0.02]])), [[1, 1], [0.04, 0.04]])


def test_holm_equals_statsmodels(monkeypatch):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    monkeypatch.setattr("gc.collect", lambda: 0)  # which statsmodels calls for each family, for half a second
    p = np.random.default_rng(0).random((20, 6)) ** 3
    np.testing.assert_allclose(holm(p), [multitest.multipletests(row, method="holm")[1] for row in p])


def test_equivalence_equals_statsmodels():
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    random, found = np.random.default_rng(0), []
    for _ in range(200):
        a, b = random.normal(0, 0.2, (2, 8))
        p, *_ = weightstats.ttost_paired(a, b, -0.3, 0.3)
        found.append(bool(equivalent(a - b)))
        assert found[-1] == (p < 0.05)
    assert 20 < sum(found) < 180


def test_pairs_needed_equals_statsmodels():
    power = pytest.importorskip("statsmodels.stats.power").TTestPower()
    for ratio, alpha in [(0.2, 0.05), (0.5 / (0.67 * math.sqrt(8 / 7)), 0.05), (0.95, 0.05), (0.7, 0.01), (1.0, 0.01)]:
        wanted = math.ceil(power.solve_power(effect_size=ratio, alpha=alpha, power=0.8))
        assert pairs_needed(1 / ratio, 1, alpha=alpha) == wanted


def test_the_sign_flip_test_sets_a_least_number_of_pairs():
    assert [pairs_needed(sd, 0.5) for sd in (0, 1e-300, 1e-3, 0.01)] == [6] * 4
    assert smallest_p(6) <= 0.05 < smallest_p(5)
    assert pairs_needed(0.0, 0.5, alpha=0.05 / 5) == 8
    assert pairs_needed(0.0, 0.5, alpha=2 / 2**7) == 7
    assert 38_459 < pairs_needed(35.0, 0.5) < 38_469  # (1.95996 + 0.84162)² × 70² = 38,459


def test_one_pair_has_no_interval():
    assert np.isnan(t_interval(np.ones((3, 1)))).all() and t_interval(np.ones((3, 1))).shape == (3, 2)
    assert not equivalent(np.zeros(1)) and direction(np.ones(1), np.array(0.0)) == 0


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


# how often the rule errs


def decided(accuracies):
    """1, -1 or 0 for each variant [B, variants] of accuracies [B, 1 + variants, seeds], the baseline first."""
    differences = accuracies[:, 1:] - accuracies[:, :1]
    return direction(differences, holm(sign_flip_p(differences)))


def test_judge_decides_as_the_simulated_rule():
    signs = {"helps": 1, "hurts": -1}
    points = np.random.default_rng(0).normal(0, 1, (40, 4, 8)) + np.array([0, 0, 1.5, -1.5])[:, None]
    found = [judge(trained(none=one[0], a=one[1], b=one[2], c=one[3]), "none", 8).rows[1:] for one in points]
    kinds = np.array([[signs.get(row.verdict.kind, 0) for row in rows] for rows in found])
    np.testing.assert_array_equal(kinds, decided(points))
    assert {1, -1, 0} == set(kinds.ravel().tolist())


def test_without_an_effect_one_variant_is_judged_wrongly_in_5_percent_at_most():
    wrong = decided(np.random.default_rng(0).normal(size=(40_000, 2, 8))) != 0
    assert 0.035 < wrong.mean() <= 0.05


def test_without_an_effect_any_of_five_variants_is_judged_wrongly_in_5_percent_at_most():
    wrong = decided(np.random.default_rng(0).normal(size=(10_000, 6, 8))) != 0
    assert 0.025 < wrong.any(axis=1).mean() <= 0.05


def test_effects_of_other_variants_do_not_add_errors():
    effects = np.array([0, 3, 3, 3, 0, 0])[:, None]
    wrong = decided(np.random.default_rng(0).normal(size=(10_000, 6, 8)) + effects)[:, 3:] != 0
    assert wrong.any(axis=1).mean() <= 0.05


@pytest.mark.parametrize("n", [3, 5, 8])
def test_t_interval_covers(n):
    low, high = t_interval(np.random.default_rng(n).normal(size=(40_000, n))).T
    assert np.mean((low < 0) & (high > 0)) == pytest.approx(0.95, abs=0.015)


def test_the_rule_has_the_power_that_pairs_needed_promises():
    n = pairs_needed(sd=1, effect=0.95)
    assert n == 11
    differences = np.random.default_rng(0).normal(0.95, 1, (8000, n))
    assert np.mean(direction(differences, sign_flip_p(differences)) == 1) == pytest.approx(0.8, abs=0.05)


def test_more_seeds_after_a_look_err_as_often_as_the_documentation_says():
    wrong = []
    for part in np.random.default_rng(0).normal(size=(8, 5000, 12)):
        first, second = (direction(part[:, :n], sign_flip_p(part[:, :n])) for n in (8, 12))
        wrong.append((first != 0) | (second != 0))
    assert np.mean(wrong) == pytest.approx(0.073, abs=0.006)


@pytest.mark.parametrize("sd", [0.1, 0.2, 0.3])
def test_an_effect_at_the_margin_is_called_none_in_5_percent(sd):
    found = equivalent(np.random.default_rng(0).normal(0.3, sd, (20_000, 8)))
    assert 0.04 < found.mean() <= 0.055
