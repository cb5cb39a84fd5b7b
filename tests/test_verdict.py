"""The rule that says whether a variant helps: its sentences by hand, and how often it errs in simulation."""

import math

import numpy as np
import pytest
from accuracies import trained, verdict

from jaxattn.comparison.sections import with_new_images
from jaxattn.comparison.statistics import seeds_range
from jaxattn.comparison.table import Difference, Family, difference, points, summary
from jaxattn.comparison.verdict import judge
from jaxattn.errors import InputError

ALONE = Family(1, 1, 0.05)


def test_what_helps():
    assert verdict(0.6) == (
        "helps",
        "helps: +0.6 points on these test images (95 % 0.4 to 0.8), 8 seeds; no control was run: scaling or capacity "
        "may explain it",
    )


def test_what_hurts():
    assert verdict(-0.6) == ("hurts", "hurts: -0.6 points on these test images (95 % -0.8 to -0.4), 8 seeds")


def test_no_effect():
    assert verdict(0.05, 0.1) == (
        "equivalent",
        "no effect larger than 0.3 points on these test images (95 % -0.1 to 0.2), 8 seeds",
    )


def test_an_end_near_the_margin_is_not_rounded_onto_it():
    assert verdict(0.05, 0.21).text.startswith(
        "no effect larger than 0.3 points on these test images (95 % -0.19 to 0.29)"
    )
    assert verdict(0.05, 0.2185).text.startswith("cannot tell: +0.0500 points (95 % -0.2005 to 0.3005)")
    assert verdict(0.0, 0.3).text.startswith("cannot tell: +0.00 points (95 % -0.34 to 0.34)")


def test_the_margin_can_be_another():
    assert (
        verdict(0.0, 0.3, margin=0.5).text
        == "no effect larger than 0.5 points on these test images (95 % -0.3 to 0.3), 8 seeds"
    )
    assert verdict(0.05, 0.1, margin=0.1).kind == "cannot tell"


def test_what_cannot_be_told_says_about_how_many_seeds_it_takes():
    sd = 0.67 * math.sqrt(8 / 7)
    assert seeds_range(sd, 14, 0.5) == (23, 59)
    wanted = "cannot tell: +0.2 points (95 % -0.6 to 1.0), 8 seeds; at this spread, seeing 0.5 points takes about "
    assert verdict(0.2, 0.67).text == f"{wanted}23 to 59 seeds"
    five = judge(trained(0.67, a=0.2, b=0.2, c=0.2, d=0.2, e=0.2), "none", (8,)).rows[1].verdict.text
    assert five.endswith("about {} to {} seeds".format(*seeds_range(sd, 14, 0.5, 0.01)))


def test_a_large_difference_is_not_measured_by_half_a_point():
    found = verdict(-7, 4, 4, (4,)).text
    assert found.startswith("cannot tell: -7.0 points (95 % -15.0 to 1.0), 4 seeds; ")
    assert "at this spread, seeing 7 points takes about " in found


def test_enough_seeds_for_half_a_point_are_said_to_be_enough():
    found = verdict(0.2, 0.2).text
    assert found.startswith("cannot tell: +0.20 points (95 % -0.03 to 0.43), 8 seeds; at this spread, they are enough")
    assert found.endswith(" to see 0.5 points")


def test_a_small_effect_that_is_shown_is_called_small():
    found = verdict(0.2, 0.04).text
    assert found.startswith("helps: +0.2 points on these test images (95 % 0.2 to 0.2), 8 seeds; less than 0.3 points")


def test_two_seeds_show_nothing():
    found = judge({"none": {0: 0.8, 1: 0.8}, "se": {0: 0.9, 1: 0.9}}, "none", (2,)).rows[1].verdict
    wanted = "cannot tell: +10.0 points, 2 seeds, too few to show any difference; at least 3 are needed"
    assert found == ("cannot tell", wanted)


def test_before_the_planned_seeds_are_complete_nothing_is_decided():
    assert verdict(3, 0, 5) == ("provisional", "provisional, 5 of 8 seeds: +3.0 points so far")
    assert verdict(0, 0, 5) == ("provisional", "provisional, 5 of 8 seeds: +0.0 points so far")


def test_one_seed_has_no_verdict():
    row = judge(trained(0, 1, se=0.3), "none", (8,), images=10_000).rows[1]
    assert row.verdict == ("none", "one seed: no spread, no verdict")
    assert row.variant == ("se", 1, pytest.approx(0.803), None)
    assert row.difference == Difference(1, pytest.approx(0.3), None, None, None, 1.0, None, pytest.approx(30))


def test_without_a_common_seed_there_is_no_difference():
    found = judge({"none": {0: 0.8, 1: 0.8}, "se": {2: 0.9}, "eca": {}}, "none", (2,))
    assert [row.difference for row in found.rows] == [None] * 3
    assert found.rows[1].verdict == ("none", "no seed in common with the baseline, no verdict")
    assert found.rows[2].variant == ("eca", 0, None, None)


def test_two_identical_seeds_show_nothing():
    table = {"none": {0: 0.9, 1: 0.9, 2: 0.8, 3: 0.81}, "se": {0: 0.9, 1: 0.9, 2: 0.9, 3: 0.92}}
    assert judge(table, "none", (2, 4)).rows[1].verdict.kind != "equivalent"
    assert judge({name: {0: 0.9, 1: 0.9} for name in table}, "none").rows[1].verdict.kind == "cannot tell"


def test_identical_runs():
    row = judge(trained(0, se=0.0), "none", (8,)).rows[1]
    assert row.verdict == ("equivalent", "identical in all 8 seeds")
    assert row.difference == (8, 0, (0, 0), 1, 1, 0.5, None, None)


def test_runs_that_do_not_vary():
    text = "cannot tell: +0.40 points, 8 seeds; the runs of a variant are all equal, so their spread is unknown"
    assert verdict(0.4, 0) == ("cannot tell", text)
    rounded = {"none": dict.fromkeys(range(3), 0.90), "se": dict.fromkeys(range(3), 0.91)}
    row = judge(rounded, "none").rows[1]
    assert row.verdict.kind == "cannot tell" and row.difference[:5] == (3, pytest.approx(1), None, None, None)


def test_only_seeds_that_both_have_are_compared():
    scores, reference = {0: 0.81, 1: 0.83, 5: 0.1}, {1: 0.82, 0: 0.8, 7: 0.9}
    found, others = points(scores, reference, scores)
    np.testing.assert_allclose([found, others], [[81, 83], [80, 82]])
    three = judge({"none": reference, "se": scores}, "none", (3,)).rows
    assert three[1].verdict.text == "provisional, 2 of 3 seeds: +1.0 points so far"
    assert [row.variant.n for row in three] == [3, 3]


def test_without_a_plan_each_variant_is_judged_with_the_seeds_that_it_shares():
    table = trained(se=0.6, eca=0.6)
    table["eca"] = {seed: table["eca"][seed] for seed in (1, 2, 4, 7)}
    rows = judge(table, "none").rows
    assert [row.difference.n for row in rows[1:]] == [8, 4]
    assert ", 8 seeds" in rows[1].verdict.text and ", 4 seeds" in rows[2].verdict.text


def test_the_numbers_of_a_variant_and_of_a_difference():
    assert summary("se", {0: 0.8, 3: 0.82, 1: 0.84}) == ("se", 3, pytest.approx(0.82), pytest.approx(0.02))
    found = difference(np.array([81.0, 82, 83]), np.array([80.0, 81, 79]), Family(4, 1, 0.05), images=200)
    # variances 1 and 1, so 4 degrees of freedom; t at 1 - 0.05 / 4 is 4.3147 (two-sided)
    half = 4.31470 * math.sqrt(2 / 3)
    assert found[:2] == (3, 2) and found.interval == pytest.approx((2 - half, 2 + half), abs=1e-3)
    assert found.p == pytest.approx(0.0704840) and found.corrected == pytest.approx(4 * found.p)
    assert found.wins == 8.5 / 9 and found.correlation == pytest.approx(-0.5) and found.images == 4
    assert difference(np.zeros(0), np.zeros(0), ALONE) is None


def test_the_baseline_comes_first_and_the_rest_as_given():
    found = judge(trained(0, 2, se=0.0, eca=0.0), "se", (2,))
    assert [row.variant.name for row in found.rows] == ["se", "none", "eca"]
    assert found.rows[0][1:] == (None, None) and (found.baseline, found.looks) == ("se", (2,))


def test_a_run_that_failed_blocks_nothing():
    table = trained(0.2, se=0.6, eca=0.0)
    del table["se"][3]
    assert judge(table, "none", (8,)).rows[1].verdict.kind == "provisional"
    rows = judge(table, "none", (8,), failed={"se": {3}}).rows
    assert rows[1].verdict.text.startswith("helps: ") and ", 7 of 8 seeds; no control" in rows[1].verdict.text
    assert rows[2].difference.n == 8
    assert judge(table, "none", (8,), failed={"none": {3}, "se": {3}}).rows[1].verdict.kind == "helps"


def test_an_outlier_is_named():
    table = trained(0.2, se=0.0)
    table["se"][2] = 0.1
    assert judge(table, "none", (8,)).rows[1].verdict.text.endswith("; se seed 2 (10.00 %) is an outlier")


def test_a_claim_that_is_not_shown_for_new_images_says_so():
    table = judge(trained(se=0.6, eca=0.6, cbam=0.0), "none", (8,))
    found = with_new_images(table, {"se": (-0.1, 1.3), "eca": (0.1, 1.1), "cbam": (-0.5, 0.5)}).rows
    assert found[1].verdict.text.endswith("; not shown for new test images (95 % -0.1 to 1.3)")
    assert found[0::2] == table.rows[0::2] and found[3] == table.rows[3]


@pytest.mark.parametrize("value", [math.nan, -0.1, 84.3, math.inf])
def test_an_accuracy_that_is_no_fraction_is_refused(value):
    message = rf"^accuracy of se, seed 3, must be a fraction from 0 to 1, got {value}$"
    with pytest.raises(InputError, match=message):
        judge({"none": {0: 0.8}, "se": {0: 0.8, 3: value}}, "none", (2,))


def test_one_variant_is_no_comparison():
    with pytest.raises(InputError, match="a comparison takes at least 2 variants, got 1"):
        judge({"none": {0: 0.5}}, "none")


def test_two_seeds_have_no_correlation_and_a_large_spread_takes_a_thousand_seeds():
    two = {"none": {0: 0.1, 1: 0.2}, "se": {0: 0.3, 1: 0.5}}
    assert judge(two, "none").rows[1].difference.correlation is None
    wild = {"none": {0: 1.0, 1: 0.0, 2: 0.5}, "se": {0: 0.0, 1: 1.0, 2: 0.5}}
    assert judge(wild, "none").rows[1].verdict.text.endswith("takes about 1000 or more seeds")


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match=r"^unknown baseline 'plain'; known are none, se$"):
        judge(trained(se=1.0), "plain")
    for few in ({}, {"none": {0: 0.8}}):
        with pytest.raises(InputError, match=rf"^a comparison takes at least 2 variants, got {len(few)}$"):
            judge(few, "none")
    for looks in ((0,), (8, 6), (8, 8), (1, 8)):
        with pytest.raises(InputError, match=r"^seeds must be ascending numbers above 0, and the first of several ab"):
            judge(trained(se=1.0), "none", looks)
    for margin in (0, -1, math.nan, 100):
        with pytest.raises(InputError, match=r"^margin must be above 0 and below 100 points, got "):
            judge(trained(se=1.0), "none", margin=margin)
