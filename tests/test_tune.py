"""Settings that are chosen for each variant on held-out images, and the comparisons with and without them."""

import json
import re

import pytest
import tiny

from jaxattn.comparison import train
from jaxattn.comparison.statistics import MAX_SEEDS
from jaxattn.comparison.tune import RECIPE, TUNED, compare_tuned
from jaxattn.comparison.variants import file_names
from jaxattn.errors import DivergenceError, InputError
from jaxattn.runs.fit import fit
from jaxattn.runs.store import read_metrics

FLAGS = tiny.CONFIG | {"epochs": 2, "keep": "best"}
RATES = "learning_rate=0.00001,0.003"


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
        folder = tmp_path / "tuning" / f"{file_names([name])[name]}-s{MAX_SEEDS}"
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
    with pytest.raises(InputError, match=r"-s1000 must hold a run with epochs 1, found 2; move it elsewhere"):
        compare_tuned(["se", "none"], [RATES], 1, tmp_path, baseline="none", **FLAGS | {"epochs": 1})


def test_nothing_is_tuned_on_test_images(trained, tmp_path):
    for flags in ({"validation": 0.0, "schedule": "constant", "keep": "last"}, {"monitor": "test"}):
        with pytest.raises(InputError, match="tune needs images that are held out"):
            compare_tuned(["none", "se"], [RATES], 1, tmp_path / "out", **FLAGS | flags)
    wrong = {"monitor=validation,test": "test", "recipe=quick,original": "test", "validation=0,0.1": "none"}
    for values, split in wrong.items():
        with pytest.raises(InputError, match=rf"by held-out images; none:\S+ monitors {split}: leave it out"):
            compare_tuned(["none", "se"], [values], 1, tmp_path / "out", dataset="tiny")
    assert trained == [] and not (tmp_path / "out").exists()


@pytest.mark.usefixtures("small_network")
def test_a_candidate_that_diverges_loses_and_other_values_need_another_folder(trained, tmp_path, monkeypatch):
    def diverging(config, *rest):
        trained.append(config)
        if config.learning_rate == 0.003:
            raise DivergenceError("the loss stopped being finite", "learning_rate")
        return fit(config, *rest)

    monkeypatch.setattr(train, "fit", diverging)
    found = compare_tuned(["none", "se"], [RATES], 1, tmp_path, **FLAGS)
    assert list(found.chosen.values()) == ["none:learning_rate=1e-05", "se:learning_rate=1e-05"]
    assert json.loads((tmp_path / "tuning.json").read_text())["validation_accuracy"]["se:learning_rate=0.003"] is None
    trained.clear()
    compare_tuned(["none", "se"], [RATES], 1, tmp_path, **FLAGS)
    assert trained == []  # what failed is not trained again
    with pytest.raises(InputError, match=r"was tuned over other values: see tuning\.json; choose"):
        compare_tuned(["none", "se"], ["learning_rate=0.001,0.003"], 1, tmp_path, **FLAGS)
    with pytest.raises(InputError, match=r"all candidates of none failed: none:learning_rate=0\.003"):
        compare_tuned(["none", "se"], ["learning_rate=0.003"], 1, tmp_path / "all", **FLAGS)


@pytest.mark.usefixtures("small_network", "trained")
def test_tuning_and_both_comparisons_are_mirrored(tmp_path):
    compare_tuned(["none", "se"], [RATES], 1, tmp_path / "out", mirror=tmp_path / "mirror", **FLAGS)
    assert {path.name for path in (tmp_path / "mirror").iterdir()} == {"tuning", "recipe", "tuned"}
    assert len(list((tmp_path / "mirror" / "tuning").iterdir())) == 4
