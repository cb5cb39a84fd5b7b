"""A run folder of format 2, as it was written on the day of that format, is read by every later version.

`golden/run` is a run with the tests' small network. It is never written again: a new format gets a folder of its own.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny

from jaxattn import load_run, resume
from jaxattn.runs import checkpoint
from jaxattn.runs.manifest import read_manifest

pytestmark = pytest.mark.usefixtures("small_network")
GOLDEN = Path(__file__).parent / "golden" / "run"


def test_a_run_of_this_format_is_read_with_its_weights_and_its_result(tmp_path):
    run = load_run(shutil.copytree(GOLDEN, tmp_path / "run"))
    result = json.loads((GOLDEN / "result.json").read_text())
    assert run.result == result and run.epoch == result["tested_epoch"] and len(run.metrics) == result["epochs"] == 2
    assert read_manifest(GOLDEN).starts[0].environment["versions"].keys() >= {"jaxattn", "jax", "flax", "python"}
    probabilities, test = run.predict(tiny.splits().test.images), tiny.splits().test
    assert np.mean(probabilities.argmax(axis=1) == test.labels) == pytest.approx(result["test_accuracy"], abs=0.03)


def test_a_run_of_this_format_is_resumed(tmp_path, quiet):
    folder = shutil.copytree(GOLDEN, tmp_path / "run")
    done = resume(folder, epochs=3, console=quiet)
    assert done.result["epochs"] == 3 and checkpoint.epochs(folder / "checkpoints")[-1] == 3
