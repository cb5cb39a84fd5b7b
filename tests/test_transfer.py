"""Several networks and data sets: a comparison for each, and what is said of all."""

import re

import pytest
import tiny

from jaxattn.comparison.transfer import compare_all, transfers
from jaxattn.data import DATASETS
from jaxattn.errors import InputError

FLAGS = {name: value for name, value in tiny.CONFIG.items() if name != "dataset"} | {"epochs": 1}


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        (("helps", "helps"), "transfers: helps in all 2"),
        (("equivalent", "equivalent"), "transfers: has no effect in all 2"),
        (("cannot tell", "cannot tell"), "is conclusive in none of 2"),
        (("helps", "hurts"), "does not transfer: helps in 1 of 2 (place 0); hurts in 1 of 2 (place 1)"),
        (
            ("helps", "cannot tell", "helps"),
            "is not shown to transfer: helps in 2 of 3 (place 0, place 2); is inconclusive in 1 of 3 (place 1)",
        ),
        (("helps", "provisional"), "is not judged everywhere yet (place 1)"),
        (("none", "helps"), "is not judged everywhere yet (place 0)"),
    ],
)
def test_what_transfers_by_hand(kinds, text):
    assert transfers({f"place {i}": kind for i, kind in enumerate(kinds)}) == text


@pytest.fixture
def trained(trained, monkeypatch):
    monkeypatch.setitem(DATASETS, "other", tiny.dataset(seed=1))
    return trained


@pytest.mark.usefixtures("small_network")
def test_each_network_and_data_set_has_a_comparison_of_its_own(trained, tmp_path):
    found = compare_all(["cnn"], ["tiny", "other"], ["none", "se"], 2, tmp_path, **FLAGS)
    assert [(config.dataset, config.attention, config.seed) for config in trained] == [
        (data, name, seed) for data in ("tiny", "other") for seed in (0, 1) for name in ("none", "se")
    ]
    assert list(found.results) == ["cnn on tiny", "cnn on other"]
    assert {path.name for path in tmp_path.iterdir()} == {"cnn-tiny", "cnn-other", "transfer.html"}
    assert str(found).startswith("cnn on tiny\nnone: ") and str(found).endswith(f"page: {found.page}")
    assert "\nse is conclusive in none of 2\n" in str(found)
    html = found.page.read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL))
    assert "Does it transfer? se" in text and "se is conclusive in none of 2" in text
    assert re.findall(r'<a href="([^#"]+)"', html) == ["cnn-tiny/compare.html", "cnn-other/compare.html"]
    trained.clear()
    compare_all(["cnn"], ["tiny", "other"], ["none", "se"], 2, tmp_path, **FLAGS)
    assert trained == []  # the same call resumes


def test_all_is_checked_before_anything_is_trained(trained, tmp_path):
    with pytest.raises(InputError, match="unknown dataset 'nothing'"):
        compare_all(["cnn"], ["tiny", "nothing"], ["none", "se"], 2, tmp_path / "b", **FLAGS)
    assert trained == [] and list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_network", "trained")
def test_each_comparison_has_a_mirror_of_its_own(tmp_path):
    arguments = ["cnn"], ["tiny", "other"], ["none", "se"], 1
    compare_all(*arguments, tmp_path / "lost", mirror=tmp_path / "mirror", **FLAGS)
    for data in ("tiny", "other"):
        assert {path.name for path in (tmp_path / "mirror" / f"cnn-{data}").iterdir()} == {"none-s0", "se-s0"}
    restored = compare_all(*arguments, tmp_path / "new", mirror=tmp_path / "mirror", **FLAGS)
    assert list(restored.results) == ["cnn on tiny", "cnn on other"]
