"""How often the rule errs and what it sees, by simulation."""

import numpy as np
import pytest

from experiments.rule.__main__ import claimed, covered, draw, rule
from jaxattn.comparison.verdict import judge


def test_judge_decides_as_the_simulated_rule():
    kinds = {"helps": 1, "hurts": -1, "equivalent": 2}
    for looks in ((8,), (5, 8)):
        values = draw(0, 30, 3, 8) + np.array([0, 0, 0.45, -0.45])[:, None]
        found = []
        for one in values:
            names = zip(("none", "a", "b", "c"), one, strict=True)
            rows = judge({name: dict(enumerate(0.8 + v / 100)) for name, v in names}, "none", looks).rows[1:]
            found.append([kinds.get(row.verdict.kind, 0) for row in rows])
        np.testing.assert_array_equal(found, rule(values, looks))
        assert {1, -1, 0} <= set(np.ravel(found).tolist())


@pytest.mark.parametrize("noise", ["normal", "t, 3 degrees", "exponential"])
@pytest.mark.parametrize("correlation", [0, 0.5])
@pytest.mark.parametrize(("seeds", "variants"), [(3, 1), (6, 1), (8, 5), (8, 9)])
def test_without_an_effect_something_is_claimed_in_5_percent_at_most(noise, correlation, seeds, variants):
    values = draw(0, 8000, variants, seeds, noise, correlation=correlation)
    assert claimed(rule(values)).mean() <= 0.05
    assert covered(values).mean() >= 0.945


@pytest.mark.parametrize("seeds", [6, 8, 12])
def test_a_single_interval_covers_95_percent(seeds):
    assert covered(draw(0, 20_000, 1, seeds)).mean() == pytest.approx(0.95, abs=0.015)


def test_effects_of_other_variants_do_not_add_errors():
    values = draw(0, 8000, 5, 8) + np.array([0, 1, 1, 1, 0, 0])[:, None]
    assert (np.abs(rule(values)[:, 3:]) == 1).any(axis=1).mean() <= 0.05


def test_half_a_point_is_seen():
    assert (rule(draw(0, 8000, 1, 6, effect=0.5)) == 1).mean() >= 0.85
    assert (rule(draw(0, 8000, 5, 8, effect=0.5))[:, 0] == 1).mean() >= 0.8


@pytest.mark.parametrize(("variants", "looks"), [(1, (6, 9, 12)), (5, (8, 12))])
def test_planned_looks_claim_something_in_5_percent_at_most(variants, looks):
    assert claimed(rule(draw(0, 8000, variants, looks[-1]), looks)).mean() <= 0.05


def test_an_effect_at_the_margin_is_called_none_in_5_percent_at_most():
    for variants in (1, 5):
        values = draw(0, 8000, variants, 16) + np.array([0, *[0.3] * variants])[:, None]
        assert (rule(values) == 2).any(axis=1).mean() <= 0.05
