"""`jaxattn compare`: wrong input, several devices, jobs, and that it survives being killed."""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import chex
import jax
import numpy as np
import pytest

from jaxattn import load_run
from jaxattn.cli.command import run_command
from jaxattn.training import devices

HERE = Path(__file__).parent
NAMES = ("none-s0", "eca-s0")
PROCESS = """
import sys
import tiny
from jaxattn.comparison import page
from jaxattn.comparison.compare import compare
from jaxattn.data import DATASETS
from jaxattn.networks import CNN
from jaxattn.training import program

DATASETS["tiny"] = tiny.dataset()
program.create = lambda attention, reduction, shape, *others, **options: CNN(
    attention=None if attention == "none" else __import__("jaxattn").ATTENTION[attention],
    widths=(4, 4, 8), hidden=8, **options)
page._draw = page._gates = lambda *arguments: {}  # figures are tested in test_compare.py and take half of the time
compare(["none", "eca"], 1, sys.argv[1], **tiny.CONFIG | {"epochs": int(sys.argv[2]), "batch_size": 24})
"""


def start(folder, epochs, **variables):
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    path = os.pathsep.join(map(str, (HERE.parent, HERE)))
    env = os.environ | cache | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"} | variables
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(folder), str(epochs)], env=env, stdout=subprocess.DEVNULL
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A comparison that nothing disturbed, on one device."""
    folder = tmp_path_factory.mktemp("compared") / "whole"
    assert start(folder, 3, JAX_NUM_CPU_DEVICES="1").wait(timeout=200) == 0
    return folder


@pytest.mark.usefixtures("small_network")
def test_killed_at_any_moment_the_same_command_ends_with_the_same_results(tmp_path, whole):
    folder = tmp_path / "killed"
    for moment in (
        "compare.json",
        "none-s0/checkpoints/epoch-1.safetensors",
        "none-s0/result.json",
        "eca-s0/checkpoints/epoch-1.safetensors",
    ):
        process = start(folder, 3)
        while not (folder / moment).exists():
            assert process.poll() is None
            time.sleep(0.002)
        process.kill()
        process.wait()
    kept = (folder / "none-s0" / "result.json").read_bytes()
    assert start(folder, 3).wait(timeout=200) == 0
    assert (folder / "none-s0" / "result.json").read_bytes() == kept
    for name in NAMES:
        chex.assert_trees_all_equal(load_run(whole / name).variables, load_run(folder / name).variables)
    assert (folder / "compare.html").exists()


def test_several_devices_train_whole_runs_and_give_what_one_gives(tmp_path, whole):
    assert start(tmp_path / "two", 3, JAX_NUM_CPU_DEVICES="2").wait(timeout=200) == 0
    for name in NAMES:
        one, two = (json.loads((folder / name / "result.json").read_text()) for folder in (whole, tmp_path / "two"))
        assert one["test_loss"] == two["test_loss"] and two["device"].startswith("1 x")


def test_on_one_device_of_several_a_run_uses_that_one():
    device = jax.devices()[0]
    with devices.only(device):
        assert devices.count() == 1 and devices.replicated() is None
        assert devices.replicate(np.zeros(2)).devices() == {device}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one of: --attention with --out"),
        (["--attention", "none", "se"], "--out must name the folder"),
        (["--attention", "none", "se", "--seeds", "0", "--out", "x"], "--seeds must be at least 1, or several"),
        (["--attention", "none", "--out", "x"], "a comparison takes 2 to 200 variants"),
        (["--attention", "none", "foo", "--out", "x"], "unknown attention 'foo'"),
        (["--attention", "none", "se", "--out", "x", "--executor", "moon"], "unknown executor 'moon'; known are here"),
        (["nowhere"], "nowhere holds no comparison"),
        (["--runs", "nowhere", "--out", "x"], "nowhere holds no run"),
        (["--csv", "nowhere"], "cannot read nowhere: No such file or directory; give a CSV file"),
        (["nowhere", "--epochs", "3"], "--epochs does nothing with a folder alone; leave it out"),
        (["nowhere", "--mirror", "x"], "--mirror does nothing with a folder alone; leave it out"),
    ],
)
def test_wrong_input_gets_one_line(capsys, monkeypatch, tmp_path, arguments, message):
    command = importlib.import_module("jaxattn.comparison.__main__")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["compare", *arguments])
    with pytest.raises(SystemExit) as caught:
        run_command(command.main)
    printed = capsys.readouterr()
    assert caught.value.code == 2 and printed.err.startswith(f"error: {message}") and printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
