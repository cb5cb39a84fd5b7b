"""Every flag of the commands that read runs acts: it changes what they print or write, or it is said why not."""

import shutil

import jax
import numpy as np
import pytest
import tiny
from PIL import Image

from jaxattn import Config, predict, visualize
from jaxattn.explain import explanation
from jaxattn.plots import canvas
from jaxattn.report import __main__ as report
from jaxattn.report import page
from jaxattn.runs import checkpoint
from jaxattn.training import program

pytestmark = pytest.mark.usefixtures("small_network")
COMMANDS = {"predict": predict, "report": report, "visualize": visualize}
# Flags and the base that they change; OUT is a folder of its own.
ACTS = {
    ("visualize", "--plot"): ("--plot cam --layers conv2", "--plot features --layers conv2"),
    ("visualize", "--layers"): ("--plot features", "--plot features --layers conv2"),
    ("visualize", "--images"): ("--plot features", "--plot features --images 2"),
    ("visualize", "--pick"): ("--plot features", "--plot features --pick 7"),
    ("visualize", "--channels"): ("--plot features", "--plot features --channels 2"),
    ("visualize", "--class"): ("--plot cam", "--plot cam --class ship"),
    ("visualize", "--weights"): ("--plot features --weights last", "--plot features --weights best"),
    ("visualize", "--format"): ("--plot curves", "--plot curves --format png"),
    ("predict", "--top"): ("IMAGE", "IMAGE --top 1"),
    ("predict", "--json"): ("IMAGE", "IMAGE --json"),
    ("predict", "--explain"): ("IMAGE", "IMAGE --explain"),
    ("predict", "--class"): ("IMAGE --explain", "IMAGE --explain --class ship"),
    ("predict", "--weights"): ("IMAGE --weights last", "IMAGE --weights best"),
    ("report", "--weights"): ("--weights last", "--weights best"),
}
INERT = {
    "--out": "where it writes: every test here gives one",
    "--data-dir": "where the data is; test_visualize and test_report give a folder without it",
    "--trust-code": "test_code_flags",
    "--accept-changed-code": "test_code_flags",
    "--traceback": "test_command",
    "--help": "test_conventions",
}


@pytest.fixture(scope="module")
def run(unfinished, tmp_path_factory):
    """A run whose best epoch is its first, with other weights than its last."""
    folder = tmp_path_factory.mktemp("flags") / "run"
    shutil.copytree(unfinished, folder)
    config = Config(attention="se", dataset="tiny", epochs=3, batch_size=6, recipe="original")
    like = program.template(program.build(config, tiny.SPEC, 1))
    random = np.random.default_rng(1)
    state = jax.tree.map(lambda leaf: random.uniform(0, 0.3, leaf.shape).astype(leaf.dtype), like)
    checkpoint.save(folder / "checkpoints", 1, state, {1, 2})
    lines = (folder / "metrics.jsonl").read_text().replace('"val_accuracy": 0.5', '"val_accuracy": 0.9')
    (folder / "metrics.jsonl").write_text(lines)
    return folder


@pytest.fixture(scope="module")
def effect(run, tmp_path_factory):
    """A function from a command line to what it prints and the files that it writes, once for each."""
    image = tmp_path_factory.mktemp("image") / "image.png"
    Image.fromarray(tiny.splits().test.images[3]).save(image)
    known = {}

    def of(command, flags, capsys):
        if (command, flags) not in known:
            out = tmp_path_factory.mktemp("out")
            words = [str(image) if word == "IMAGE" else word for word in flags.split()]
            if command != "predict" or "--explain" in flags:
                words += ["--out", str(out / "report.html" if command == "report" else out)]
            COMMANDS[command].main([str(run), *words])
            # An SVG holds random names; its PNG shows the same.
            files = {path.name: b"" if path.suffix == ".svg" else path.read_bytes() for path in out.iterdir()}
            known[command, flags] = capsys.readouterr().out.replace(str(out), "OUT"), files
        return known[command, flags]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "SCORED", 4)
        patch.setattr(canvas, "DPI", 50)
        patch.setattr(explanation, "STEPS", 2)
        yield of


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_is_said_to_act_or_why_not(command):
    flags = {option for option in COMMANDS[command].parser()._option_string_actions if option.startswith("--")}
    assert flags == {flag for name, flag in ACTS if name == command} | (flags & INERT.keys())


@pytest.mark.parametrize(("command", "flag"), ACTS)
def test_a_flag_changes_what_a_command_prints_or_writes(effect, capsys, command, flag):
    before, after = (effect(command, flags, capsys) for flags in ACTS[command, flag])
    assert before != after


def test_the_same_flags_have_the_same_effect(effect, capsys):
    flags = "--plot features --layers conv2"
    assert effect("visualize", flags, capsys) == effect("visualize", f"{flags} ", capsys)  # drawn once more
