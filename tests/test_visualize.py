"""`jaxattn visualize`: every plot in a file, its flags, and one line for wrong input."""

import json
import shutil
import sys

import numpy as np
import pytest
import tiny
from cnn_layers import layer
from matplotlib.figure import Figure
from PIL import Image

from jaxattn import figure, load_run, visualize
from jaxattn.cli.command import run_command
from jaxattn.data import DATASETS
from jaxattn.data.dataset import Dataset
from jaxattn.errors import InputError, UnavailableError
from jaxattn.plots import PLOTS, canvas

pytestmark = pytest.mark.usefixtures("small_network")


def call(capsys, *arguments):
    visualize.main([str(argument) for argument in arguments])
    return capsys.readouterr().out.splitlines()


def test_every_plot_is_a_file_or_reported_to_have_nothing_to_draw(unfinished, capsys):
    flags = ("--layers", "conv2", "block3", "--pick", "7", "3", "--channels", "4", "--format", "png")
    printed = call(capsys, unfinished, *flags)
    nothing = [line for line in printed if ": " in line]
    assert [line.split(":")[0] for line in nothing] == ["gates-by-position", "attention-received"]
    written = sorted((unfinished / "figures").iterdir())
    assert sorted(line for line in printed if line not in nothing) == [str(path) for path in written]
    drawn = [name for name in PLOTS if name not in ("gates-by-position", "attention-received")]
    assert {path.name for path in written} == {f"{name}.png" for name in drawn}
    for path in written:
        pixels = np.asarray(Image.open(path).convert("L"))
        assert min(pixels.shape) > 300 and np.ptp(pixels) > 100, path  # a figure, not a blank page


def test_a_plot_is_drawn_in_python_too(unfinished, monkeypatch):
    run = load_run(unfinished)
    found = figure(run, "cam", images=2, layers=["conv3"])
    assert isinstance(found, Figure) and canvas.encode(found, "png")
    with pytest.raises(InputError, match="unknown plot 'came'; known are curves"):
        figure(run, "came")
    with pytest.raises(canvas.NothingToDrawError):
        figure(run, "gates-by-position")
    monkeypatch.setitem(DATASETS, "tiny", None)
    assert isinstance(figure(run, "curves"), Figure)  # without the data


def test_flags_choose_what_is_drawn(unfinished, tmp_path, capsys, monkeypatch):
    drawn = {}

    def drawing(name, **sources):
        drawn[name] = sources
        return canvas.figure(name, "", (5, 1))

    monkeypatch.setattr(visualize, "draw", drawing)
    flags = [
        "--plot",
        "cam",
        "curves",
        "--images",
        "4",
        "--class",
        "frog",
        "--format",
        "svg",
        "--out",
        tmp_path / "new",
    ]
    assert call(capsys, unfinished, *flags) == [str(tmp_path / "new" / name) for name in ("cam.svg", "curves.svg")]
    history, explained = drawn["cam"]["history"], drawn["cam"]["explanation"]
    np.testing.assert_array_equal(explained.predictions.labels, [0, 2, 5, 7])
    assert set(explained.targets) == {6} and explained.layers == tuple(layer("conv", i) for i in (1, 2, 3))
    assert "The TEST set was monitored" in history.caption and history.epoch == 2 and len(history.metrics) == 2


def test_training_curves_need_no_data(unfinished, tmp_path, capsys, monkeypatch):
    def never(data_dir):
        raise AssertionError("the data was loaded")

    monkeypatch.setitem(DATASETS, "tiny", Dataset(tiny.SPEC, never))
    written = call(capsys, unfinished, "--plot", "curves", "--format", "svg", "--out", tmp_path)
    assert written == [str(tmp_path / "curves.svg")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plot", "pie"], "unknown plot 'pie'; known are curves,"),
        (["--layers", "conv9"], "unknown layer 'conv9'; known are conv1, norm1, attention1, block1, conv2,"),
        (["--images", "0"], "images must be from 1 to 64, got 0 (--images)"),
        (["--images", "many"], "argument --images: invalid int value: 'many'"),
        (["--pick", "40"], "--pick takes up to 64 indices from 0 to 39, got 40"),
        (["--pick", *["1"] * 65], "--pick takes up to 64 indices from 0 to 39, got 65 of them"),
        (["--pick", "1", "--images", "2"], "argument --images: not allowed with argument --pick"),
        (["--class", "unicorn"], "unknown class 'unicorn'; known are airplane,"),
        (["--channels", "0"], "channels must be at least 1, got 0"),
        (["--format", "gif"], "unknown format 'gif'; known are png, svg"),
        (["--weights", "first"], "unknown choice of weights 'first'; known are best, last, tested"),
        (["--out", __file__, "--plot", "curves"], f"cannot write {__file__}/curves.png: "),
        (["--colour"], "unknown flag --colour; known are --accept-changed-code, --channels,"),
    ],
)
def test_wrong_input_gets_one_line_and_exit_code_2(unfinished, capsys, monkeypatch, arguments, message):
    refused(capsys, monkeypatch, [unfinished, *arguments], message)


def test_no_run_and_other_or_missing_data_are_reported_in_one_line(unfinished, tmp_path, capsys, monkeypatch):
    refused(capsys, monkeypatch, [tmp_path], f"{tmp_path} holds no run")
    monkeypatch.setitem(DATASETS, "tiny", tiny.dataset(seed=1))
    refused(capsys, monkeypatch, [unfinished, "--data-dir", "/else"], "the images of tiny in /else are not those that")

    def missing(data_dir):
        raise UnavailableError("nothing here")

    monkeypatch.setitem(DATASETS, "tiny", Dataset(tiny.SPEC, missing))
    refused(capsys, monkeypatch, [unfinished], "nothing here")
    shutil.copytree(unfinished, tmp_path / "old")
    values = json.loads((unfinished / "config.json").read_text())
    (tmp_path / "old" / "config.json").write_text(json.dumps(values | {"dataset": "gone"}))
    refused(capsys, monkeypatch, [tmp_path / "old"], "unknown dataset 'gone'")


def refused(capsys, monkeypatch, arguments, message):
    monkeypatch.setattr(sys, "argv", ["visualize", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        run_command(visualize.main)
    printed = capsys.readouterr()
    assert caught.value.code == 2
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith(f"error: {message}")


def test_wrong_layers_are_reported_even_where_no_plot_needs_them(unfinished, capsys, monkeypatch):
    refused(capsys, monkeypatch, [unfinished, "--plot", "curves", "--layers", "nope"], "unknown layer 'nope'")
