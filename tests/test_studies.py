"""The studies of `experiments/studies.py`: a run is trained once, as planned, and what is kept of it is read."""

import base64
import importlib
import io
import json
import re

import numpy as np
import pytest
import tiny
from matplotlib import colormaps
from PIL import Image

from experiments import studies
from jaxattn import train
from jaxattn.data import DATASETS

DOCS = studies.HERE.parent / "docs"
pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder of studies that has one run, and the command lines that trained it."""
    folder = tmp_path_factory.mktemp("experiments")
    commands = []

    def run(command, check):
        commands.append(command[1:3])
        train.main([*command[3:], "--epochs", "1"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "cifar10", tiny.dataset())
        patch.setattr(studies, "HERE", folder)
        patch.setattr(studies.subprocess, "run", run)
        for study in ("verdict", "table"):  # the second shares the run
            studies.train(study, "se", 1, str(folder), folder / "work")
        yield folder, commands


def test_a_run_is_trained_once_as_planned_and_only_what_is_small_is_kept(here):
    folder, commands = here
    place = folder / "verdict" / "se-s1"
    assert commands == [["-m", "jaxattn.train"]]
    assert {file.name for file in place.iterdir()} == set(studies.FILES)
    assert not (folder / "table").exists() and not list((folder / "work").iterdir())
    result = json.loads((place / "result.json").read_text())
    assert (result["attention"], result["seed"], result["recipe"]) == ("se", 1, "standard")


def test_a_study_has_the_runs_of_those_that_it_shares(here):
    found = studies.results("table")
    assert set(found) == set(studies.STUDIES["table"].variants) and list(found["se"]) == [1] and not found["eca"]
    assert studies.kept("where", "se", 1) and not studies.kept("where", "se", 2)


def test_a_study_prints_how_many_runs_are_finished_and_what_the_knock_out_costs(here, capsys):
    studies.show("verdict", None)
    printed = capsys.readouterr().out
    assert printed.startswith("1 of 32 runs are finished\n")
    lost = json.loads((here[0] / "verdict" / "se-s1" / "knockout.json").read_text())
    assert all(f"se, {condition}: {points:.2f} (nan to nan)" in printed for condition, points in lost.items())


@pytest.fixture
def gate_images(monkeypatch):
    """The part of the documentation's build that draws gates."""
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("gate_images").gate_images


def pixels(drawing):
    """The colours of each PNG in a drawing."""
    files = re.findall('base64,([^"]*)', drawing)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(file)))) for file in files]


def test_a_page_draws_the_weights_of_a_run_by_channel(here, gate_images):
    folder, _ = here
    stored = json.loads((folder / "verdict" / "se-s1" / "gates_by_image.json").read_text())
    text, drawing = gate_images("se", folder)
    assert "verdict/se-s1" in text and all(name in drawing for name in stored["classes"])
    for cells, gate in zip(pixels(drawing), stored["gates"].values(), strict=True):
        weights = np.array(gate["channels"])
        assert gate["positions"] is None and len(weights) == studies.SHOWN_IMAGES
        np.testing.assert_array_equal(cells, colormaps["viridis"](weights, bytes=True)[..., :3])


def test_a_page_draws_a_map_for_each_image_of_weights_by_position(tmp_path, gate_images):
    weights = np.linspace(-1, 1, 8 * 2 * 3).reshape(8, 2, 3)
    place = tmp_path / "table" / "spatial-s1"
    place.mkdir(parents=True)
    gates = {"block1": {"channels": None, "positions": weights.tolist()}}
    values = {"images": list(range(8)), "classes": list("abcdefgh"), "gates": gates}
    (place / "gates_by_image.json").write_text(json.dumps(values))
    brief = tmp_path / "gates" / "spatial-s0"  # a study's run is shown, not a brief one
    brief.mkdir(parents=True)
    (brief / "gates_by_image.json").write_text("{}")
    text, drawing = gate_images("spatial", tmp_path)
    assert "from -1 (dark) to 1 (bright)" in text and "block1, by position" in drawing
    np.testing.assert_array_equal(pixels(drawing), colormaps["viridis"]((weights + 1) / 2, bytes=True)[..., :3])


def test_a_module_that_no_study_trained_has_no_gates(tmp_path, gate_images):
    assert gate_images("eca", tmp_path) == []
