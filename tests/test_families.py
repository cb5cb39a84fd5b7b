"""What else is compared: families of variants, controls, looks, and what was not planned."""

import pytest
from accuracies import trained, verdict

from jaxattn.comparison.looks import look_alpha, real_alpha
from jaxattn.comparison.verdict import Earlier, judge


def test_the_interval_that_is_printed_decides_and_says_what_it_is_for():
    rows = judge(trained(0.4, se=0.5, eca=0.5, cbam=0.5, constant=0.5), "none", (8,)).rows
    texts = {row.variant.name: row.verdict.text for row in rows if row.verdict}
    # one control alone: 0.5 ± 0.459; three modules: t at 1 - 0.05 / 3 is 2.7178, ± 0.581
    assert texts["constant"].startswith("helps: +0.50 points on these test images (95 % 0.04 to 0.96), 8 seeds")
    assert texts["se"].startswith("cannot tell: +0.5 points (95 % for 3 variants together, -0.1 to 1.1), 8 seeds")
    assert rows[1].difference.interval == pytest.approx((0.5 - 0.5811, 0.5 + 0.5811), abs=1e-3)


@pytest.mark.parametrize("controls", [{}, {"constant": 0.0, "random": 0.1, "wide_se": -0.1}])
def test_controls_cost_the_modules_nothing(controls):
    row = judge(trained(0.4, se=0.5, **controls), "none", (8,)).rows[1]
    assert row.verdict.kind == "helps" and row.difference.corrected == row.difference.p


def test_an_unfinished_variant_counts_in_the_family():
    table = trained(0.4, se=0.5, eca=0.5)
    table["eca"] = {0: 0.8, 1: 0.9}
    assert judge(table, "none", (8,)).rows[1].verdict.kind == "cannot tell"


def helped(**controls):
    return judge(trained(0.2, se=0.6, **controls), "none", (8,)).rows[1].verdict


def test_what_does_not_beat_a_control_is_said_to_be_explained_by_it():
    assert helped(constant=0.5, wide_se=0.4, random=0.1).text == (
        "helps: +0.6 points on these test images (95 % 0.4 to 0.8), 8 seeds, but it is not shown to beat the control "
        "constant (+0.10 points, 95 % -0.13 to 0.33): scaling may explain it; it is not shown to beat the control "
        "wide:se (+0.20 points, 95 % -0.03 to 0.43): capacity may explain it"
    )


def test_what_beats_all_controls_names_them():
    assert helped(shuffled=0.2, wide_16=0.1).text.endswith(", 8 seeds; it also beats the controls shuffled, wide:16")


@pytest.mark.parametrize(
    ("size", "remark"),
    [(1000, ""), (1040, ""), (999, " (999 parameters; se has 1,000)"), (1100, " (1,100 parameters; se has 1,000)")],
)
@pytest.mark.parametrize(
    ("gain", "end"), [(0.1, "; it also beats the control {}"), (0.5, "not shown to beat the control {} (")]
)
def test_a_control_of_another_size_is_named_as_such(size, remark, gain, end):
    sizes = {"se": 1000, "wide:eca": size}
    table = judge(trained(0.2, se=0.6, wide_eca=gain), "none", (8,), parameters=sizes)
    assert end.format(f"wide:eca{remark}") in table.rows[1].verdict.text


def test_controls_that_are_not_complete_are_not_beaten():
    table = trained(0.2, se=0.6, random=0.0)
    table["random"] = {seed: 0.8 for seed in range(5)}
    found = judge(table, "none", (8,)).rows[1].verdict.text
    assert found.endswith(", 8 seeds, but it shares only 5 of 8 seeds with the control random so far")


def test_a_control_is_compared_with_no_control():
    found = judge(trained(constant=0.6, random=0.6), "none", (8,))
    assert all(row.verdict.text.endswith("8 seeds") for row in found.rows[1:])


def test_what_differs_in_settings_alone_needs_no_control():
    table = {name: scores for name, scores in trained(0.2, se=0.6, constant=0.5).items()}
    table["none:ema=0"] = table.pop("se")
    found = judge(table, "none", (8,)).rows
    assert found[2].variant.name == "none:ema=0" and found[2].verdict.text.endswith("8 seeds")


def test_a_baseline_that_is_a_control_is_not_compared_twice():
    table = {"constant" if name == "none" else name: scores for name, scores in trained(se=10).items()}
    assert judge(table, "constant", (8,)).rows[1].verdict.text.endswith(", 8 seeds")
    back = {"se" if name == "none" else "none": scores for name, scores in trained(se=10).items()}
    assert judge(back, "se", (8,)).rows[1].verdict.text.endswith(", 8 seeds")  # nothing is added, so nothing explains


def test_names_of_other_programs_are_no_modules():
    table = trained(0.4, sgd=0.5, adam=0.5, random=0.0)
    rows = judge(table, "none", (8,), modules=False).rows
    assert all("95 % for 3 variants together" in row.verdict.text for row in rows[1:])
    assert "control" not in judge(trained(0.2, sgd=0.6, random=0.1), "none", modules=False).rows[1].verdict.text


def test_a_control_that_failed_once_is_compared_on_the_other_seeds():
    table = trained(0.2, se=0.6, constant=0.0)
    del table["constant"][5]
    found = judge(table, "none", (8,), failed={"constant": {5}}).rows[1].verdict.text
    assert found.endswith("; it also beats the control constant")
    table["random"] = {seed: 0.79 + 0.001 * (-1) ** seed for seed in range(3)}
    found = judge(table, "none", (8,), failed={"constant": {5}, "random": set(range(3, 8))}).rows[1].verdict.text
    assert found.endswith("; it also beats the controls constant, random (3 seeds)")


def test_the_first_look_that_shows_something_decides():
    table = trained(0.2, se=0.6)
    table["se"].update({6: 0.75, 7: 0.75})  # later seeds change nothing
    found = judge(table, "none", (6, 8)).rows[1]
    wanted = (
        "helps: +0.60 points on these test images (95 % for 2 looks together, 0.29 to 0.91), 6 seeds (a planned look"
    )
    assert found.difference.n == 6 and found.verdict.text.startswith(f"{wanted} before 8)")


def test_a_look_that_shows_nothing_leaves_it_to_the_next():
    six, seven, eight = (judge(trained(0.42, n, se=0.6), "none", (6, 8)).rows[1] for n in (6, 7, 8))
    assert six.verdict.kind == "cannot tell" and "6 seeds (a planned look before 8)" in six.verdict.text
    assert seven[1:] == six[1:] and seven.variant.n == 7
    assert eight.verdict.kind == "helps" and ", 8 seeds;" in eight.verdict.text and eight.difference.n == 8


def test_a_control_is_judged_at_the_level_of_all_looks():
    text = judge(trained(0.2, se=0.6, constant=0.3), "none", (6, 8)).rows[1].verdict.text
    assert "not shown to beat the control constant (+0.30 points, 95 % for 2 looks together, -0.01 to 0.61)" in text


def test_a_look_waits_for_each_seed_and_counts_those_of_its_own():
    table = trained(0.2, se=0.6)
    del table["se"][3]
    text = judge(table, "none", (6, 8)).rows[1].verdict.text
    assert text.startswith("provisional, 5 of 6 seeds: +0.") and text.endswith(" points so far over 7")
    assert judge(trained(0.2, 5, se=0.6), "none", (6, 8)).rows[1].verdict.text.startswith("provisional, 5 of 6 seeds")
    table = trained(0.2, se=0.6)
    del table["se"][1]
    row = judge(table, "none", (2, 8), failed={"se": {1}}).rows[1]
    assert (row.verdict.kind, row.difference.n) == ("helps", 7) and "7 of 8 seeds" in row.verdict.text


def test_an_outlier_after_the_look_that_decides_is_none_and_that_of_the_baseline_is():
    table = trained(0.2, se=0.6)
    table["none"][7], table["se"][7] = 0.1, 0.9
    assert "outlier" not in judge(table, "none", (6, 8)).rows[1].verdict.text
    table = trained(0.2, se=0.0)
    table["none"][2] = 0.1
    assert judge(table, "none", (8,)).rows[1].verdict.text.endswith("; none seed 2 (10.00 %) is an outlier")


def test_the_same_attention_with_another_setting_needs_no_control():
    table = {name.replace("none", "se").replace("eca", "se:ema=0"): one for name, one in trained(eca=0.6).items()}
    assert judge(table, "se", (8,)).rows[1].verdict.text.endswith(", 8 seeds")


def test_every_verdict_of_an_extended_comparison_says_what_that_costs():
    earlier = [Earlier((6,), ("none", "se"), "2026-08-01")]
    for found in (verdict(-0.6, earlier=earlier), verdict(0.05, 0.1, earlier=earlier)):
        assert found.text.endswith("7.4 % of comparisons still claim one, not 5 %")
    with_control = verdict(0.6, earlier=[Earlier((6,), ("none", "se", "constant"))]).text
    assert "7.4 % of comparisons" in with_control  # a control is in a family of its own
    assert "extended" not in verdict(0.6, earlier=[Earlier((6,), ("none", "constant"))]).text


def test_what_was_extended_without_a_plan_says_what_that_costs():
    found = verdict(0.6, earlier=[Earlier((6,), ("none", "se"), "2026-08-01")]).text
    assert found.endswith(
        "; extended without a plan after 6 seeds on 2026-08-01: if there is no effect, 7.4 % of comparisons still "
        "claim one, not 5 %"
    )
    planned = verdict(0.6, earlier=[Earlier((6,), ("none", "se"), "2026-08-01", (6, 9, 12))]).text
    assert "if there is no effect, 5.7 % of comparisons" in planned  # at its stricter limit, the look adds less
    limit = look_alpha((12, 16, 20), 1)  # the looks of the present plan before this one count, too
    late = judge(trained(0.9, 20, se=0.1), "none", (12, 16, 20), earlier=[Earlier((8,))]).rows[1].verdict.text
    real = real_alpha((8, 12, 16, 20), (1,) * 4, (0.05, limit, limit, limit))
    assert late.startswith("cannot tell") and f"no effect, {100 * real:.1f} % of comparisons" in late
    many = [Earlier((4, 8)), Earlier((4, 8)), Earlier((6,), ("none", "se", "eca"))]
    assert "after 8 seeds, then 8 seeds, then 6 seeds: if there is no effect, " in verdict(0.6, earlier=many).text
    assert "extended" not in verdict(0.6, earlier=[Earlier(()), Earlier((12,))]).text
    added = verdict(0.6, earlier=[Earlier((8,), ("none", "eca"))]).text
    assert "after 8 seeds: if there is no effect, " in added
