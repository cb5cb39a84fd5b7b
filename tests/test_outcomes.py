"""Outcomes beside the verdict, and all pairs of variants: by hand."""

import re

import numpy as np
import pytest
import scipy

from jaxattn.comparison.estimates import pairs
from jaxattn.comparison.outcomes import outcomes


def results(keys, change):
    """Results of three variants and four seeds; the change is what each variant adds to an outcome."""
    return {
        name: {seed: ({key: 0.5 + 0.1 * (-1) ** seed + by for key in keys}) for seed in range(4)}
        for name, by in change.items()
    }


def half(level, spread, n):
    """Half a Welch interval of two variants whose n values have one spread."""
    return scipy.stats.t.ppf((1 + level) / 2, 2 * (n - 1)) * spread * np.sqrt(2 / n)


def test_outcomes_are_corrected_among_themselves():
    found = outcomes(
        results(["test_loss", "test_calibration_error"], {"none": 0, "se": 0.2, "eca": -0.1}), "none", is_unequal=True
    )
    assert list(found) == ["test loss, nats", "expected calibration error, points"]
    (se, eca), spread = found["test loss, nats"], 0.1 * np.sqrt(4 / 3)
    assert se[:2] == ("se", 4) and eca[:2] == ("eca", 4) and se.mean == pytest.approx(0.2)
    wide = half(1 - 0.05 / 4, spread, 4)  # two outcomes of two variants
    assert (se.low, se.high) == pytest.approx((0.2 - wide, 0.2 + wide))
    in_points = found["expected calibration error, points"][1]
    assert in_points[2:] == pytest.approx((-10, -10 - 100 * wide, -10 + 100 * wide))


def test_balanced_accuracy_is_an_outcome_where_classes_are_unequal():
    table = results(["test_balanced_accuracy"], {"none": 0, "se": 0.1})
    assert list(outcomes(table, "none", is_unequal=True)) == ["balanced accuracy, points"]
    assert outcomes(table, "none", is_unequal=False) == {}


def test_what_older_runs_lack_and_what_has_no_spread_is_left_out():
    table = results(["test_loss"], {"none": 0, "se": 0.1})
    table["se"][0] = {}
    assert outcomes(table, "none", is_unequal=False) == {}
    level = {name: {seed: 0.8 + by for seed in range(3)} for name, by in {"none": 0, "se": 0.1, "eca": 0}.items()}
    assert [row.name for row in pairs(level)] == ["none – eca"]  # of the others the spread is not known
    one = {name: {0: by_seed[1]} for name, by_seed in table.items()}
    assert outcomes(one, "none", is_unequal=False) == {}


def test_all_pairs_are_corrected_together():
    accuracies = {
        name: {seed: 0.8 + 0.01 * (-1) ** seed + by for seed in range(4)}
        for name, by in {"none": 0, "se": 0.02, "eca": 0}.items()
    }
    rows = pairs(accuracies)
    assert [row.name for row in rows] == ["none – se", "none – eca", "se – eca"]
    wide = half(1 - 0.05 / 3, np.sqrt(4 / 3), 4)
    assert rows[0][1:] == pytest.approx((4, -2, -2 - wide, -2 + wide))
    assert pairs({name: accuracies[name] for name in ("none", "se")}) == []
    assert pairs({str(i): accuracies["se"] for i in range(21)}) == []


@pytest.mark.usefixtures("small_network")
def test_the_page_shows_both(tmp_path, monkeypatch):
    import tiny

    from jaxattn.comparison import page
    from jaxattn.comparison.compare import compare

    monkeypatch.setattr(page, "_draw", lambda *arguments: {})
    monkeypatch.setattr(page, "_gates", lambda *arguments: {})
    result = compare(["none", "se", "eca"], 2, tmp_path, **tiny.CONFIG | {"epochs": 1})
    text = re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", result.page.read_text(), flags=re.DOTALL))
    assert "test loss, nats: difference to none expected calibration error, points: difference to none" in text
    assert "All 3 pairs of variants" in text and "se – eca" in text
