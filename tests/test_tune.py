"""Settings that are chosen for each variant on held-out images, and the comparisons with and without them."""

import json
import re

import pytest
import tiny

from jaxattn.comparison import page, train
from jaxattn.comparison.plan import MAX_SEEDS, run_name
from jaxattn.comparison.tune import RECIPE, TUNED, compare_tuned
from jaxattn.errors import InputError
from jaxattn.runs.fit import fit
from jaxattn.runs.store import read_metrics

FLAGS = tiny.CONFIG | {"epochs": 2, "keep": "best"}
RATES = "learning_rate=0.00001,0.003"


@pytest.fixture
def trained(monkeypatch):
    monkeypatch.setattr(page, "_draw", lambda *arguments: {})
    monkeypatch.setattr(page, "_gates", lambda *arguments: {})
    seen = []
    monkeypatch.setattr(train, "fit", lambda config, *rest: seen.append(config) or fit(config, *rest))
    return seen


@pytest.mark.usefixtures("small_network")
def test_each_variant_gets_what_is_best_for_it_on_held_out_images(trained, tmp_path):
    found = compare_tuned(["se", "none"], [RATES], 1, tmp_path, baseline="none", **FLAGS)
    tuning, fresh = trained[:4], trained[4:]
    assert [(one.attention, one.learning_rate, one.seed) for one in tuning] == [
        (name, rate, MAX_SEEDS) for name in ("none", "se") for rate in (0.00001, 0.003)
    ]
    assert {one.seed for one in fresh} == {0}
    record = json.loads((tmp_path / "tuning.json").read_text())
    for name, accuracy in record["validation_accuracy"].items():
        folder = tmp_path / "tuning" / run_name(name, MAX_SEEDS)
        assert accuracy == max(line["val_accuracy"] for line in read_metrics(folder, 2))
    for name, own in record["chosen"].items():
        of_variant = {one: value for one, value in record["validation_accuracy"].items() if one.startswith(f"{name}:")}
        assert len(of_variant) == 2 and own == max(of_variant, key=of_variant.get)
    assert found.chosen == record["chosen"] and list(found.results) == [RECIPE, TUNED]
    assert [row.variant.name for row in found.results[RECIPE].table.rows] == ["none", "se"]
    assert [row.variant.name for row in found.results[TUNED].table.rows] == list(found.chosen.values())
    rates = {one.learning_rate for one in fresh}
    assert rates == {FLAGS["learning_rate"], *(float(own.partition("=")[2]) for own in found.chosen.values())}
    html = found.page.read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL))
    assert "se against none, each tuned" in text and f"se was trained with {found.chosen['se']}, none with" in text
    assert re.findall(r'<a href="([^#"]+)"', html) == ["recipe/compare.html", "tuned/compare.html"]
    assert str(found).endswith(f"chosen: {', '.join(found.chosen.values())}\npage: {found.page}")
    trained.clear()
    compare_tuned(["se", "none"], [RATES], 1, tmp_path, baseline="none", **FLAGS)
    assert trained == []


def test_nothing_is_tuned_on_test_images(trained, tmp_path):
    for flags in ({"validation": 0.0, "schedule": "constant", "keep": "last"}, {"monitor": "test"}):
        with pytest.raises(InputError, match="tune needs images that are held out"):
            compare_tuned(["none", "se"], [RATES], 1, tmp_path / "out", **FLAGS | flags)
    assert trained == [] and not (tmp_path / "out").exists()
