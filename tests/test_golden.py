"""A run folder of each format since 2, as it was written on the day of that format, is read by every later version.

`golden/format-N` is a run with the tests' small network: `attention="se"`, `learning_rate=0.01` and else `tiny.CONFIG`;
format 3 also has `cutout=4` and `mixup=0.1`, format 4 plain momentum, a stepwise schedule, and attention at two sites
that begins as the identity. None is ever written again: a new format gets a folder of its own.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny

from jaxattn import load_run, resume
from jaxattn.runs import checkpoint
from jaxattn.runs.formats import FORMAT
from jaxattn.runs.manifest import read_manifest

pytestmark = pytest.mark.usefixtures("small_network")
GOLDEN = sorted((Path(__file__).parent / "golden").iterdir(), key=lambda path: int(path.name.partition("-")[2]))
each_format = pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)


def test_every_format_since_2_has_a_run():
    assert [path.name for path in GOLDEN] == [f"format-{number}" for number in range(2, FORMAT + 1)]
    written = [json.loads((path / "config.json").read_text())["format"] for path in GOLDEN]
    assert written == [*range(2, FORMAT + 1)]


@each_format
def test_a_run_of_this_format_is_read_with_its_weights_and_its_result(golden, tmp_path):
    run = load_run(shutil.copytree(golden, tmp_path / "run"))
    result = json.loads((golden / "result.json").read_text())
    assert run.result == result and run.epoch == result["tested_epoch"] and len(run.metrics) == result["epochs"] == 2
    assert read_manifest(golden).starts[0].environment["versions"].keys() >= {"jaxattn", "jax", "flax", "python"}
    probabilities, test = run.predict(tiny.splits().test.images), tiny.splits().test
    assert np.mean(probabilities.argmax(axis=1) == test.labels) == pytest.approx(result["test_accuracy"], abs=0.03)


@each_format
def test_a_run_of_this_format_is_resumed(golden, tmp_path, quiet):
    folder = shutil.copytree(golden, tmp_path / "run")
    done = resume(folder, epochs=3, console=quiet)
    assert done.result["epochs"] == 3 and checkpoint.epochs(folder / "checkpoints")[-1] == 3


def test_the_only_network_and_the_usual_places_are_what_runs_before_format_4_have():
    configs = [read_manifest(path).config for path in GOLDEN]
    assert [config.network for config in configs] == ["cnn"] * len(configs)
    assert [(one.attention_at, one.attention_position) for one in configs[:3]] == [
        (None, None),
        (None, None),
        ("2-3", None),
    ]
    assert (configs[2].optimizer, configs[2].milestones, configs[2].attention_start) == ("momentum", "0.5", "identity")


def test_values_that_format_2_did_not_have_are_as_they_acted_then_and_those_of_format_3_are_read():
    old, new = (read_manifest(path).config for path in GOLDEN[:2])
    assert (old.cutout, old.mixup) == (0, 0.0) and (new.cutout, new.mixup) == (4, 0.1)
