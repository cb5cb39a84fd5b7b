"""`python -m jaxattn.visualize`: every picture, of networks with and without gates, and one line for wrong input."""

import sys

import numpy as np
import pytest
import tiny
from PIL import Image

from jaxattn import Config, cli, fit, pictures, visualize
from jaxattn.plots import PLOTS
from jaxattn.screen import Screen

GATED = {"gates", "gates-by-class"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of one epoch by attention, with the folder of their data."""
    root = tmp_path_factory.mktemp("runs")
    data_dir = tiny.folder(root / "data")

    def run(name, **flags):
        folder = root / name
        if not folder.exists():
            config = Config(
                attention=name,
                dataset="cifar10",
                data_dir=str(data_dir),
                epochs=1,
                batch_size=16,
                augment="none",
                **flags,
            )
            fit(config, folder, Screen(quiet=True))
        return folder

    return run


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch):
    """Scores and gates of a few pictures: of how many is not what is tested here."""
    monkeypatch.setattr(pictures, "SCORED", 4)
    monkeypatch.setattr(pictures, "STUDIED", 20)


def call(*arguments):
    visualize.main([str(argument) for argument in arguments])


@pytest.mark.parametrize(("name", "missing"), [("none", GATED), ("cbam", set())])
def test_every_picture_is_drawn_or_said_to_have_nothing(runs, tmp_path, capsys, name, missing):
    call(runs(name), "--format", "png", "--out", tmp_path, "--images", "2", "--channels", "4")
    drawn = {path.stem for path in tmp_path.iterdir()}
    said = {line.split(":")[0] for line in capsys.readouterr().out.splitlines() if ": " in line}
    assert drawn | said == PLOTS.keys() and not drawn & said
    assert missing <= said and {"curves", "confusion", "features", "heatmap", "cam", "scores"} <= drawn
    for path in tmp_path.iterdir():
        pixels = np.asarray(Image.open(path).convert("L"))
        assert min(pixels.shape) > 200 and np.ptp(pixels) > 100, path  # a picture, not a blank page


def test_chosen_picture_layers_and_class_are_drawn_as_svg(runs, tmp_path, capsys):
    call(
        runs("cbam"), "--plot", "cam", "--layers", "conv2", "block3", "--pick", "7", "--class", "frog",
        "--format", "svg", "--out", tmp_path,
    )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["cam.svg"]
    assert "frog" in capsys.readouterr().out or (tmp_path / "cam.svg").read_text().startswith("<?xml")


def test_run_steered_by_the_test_set_says_so_in_its_pictures(runs):
    from jaxattn.pictures import caption
    from jaxattn.run import load_run

    assert "The TEST set steered this run" in caption(load_run(runs("se", recipe="original")))
    assert "TEST" not in caption(load_run(runs("none")))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plot", "pie"], "unknown plot 'pie'; known are curves,"),
        (["--layers", "conv9"], "unknown layer 'conv9'; known are conv1,"),
        (["--images", "0"], "--images must be from 1 to 64, got 0"),
        (["--pick", "40"], "--pick takes up to 64 places from 0 to 39, got 40"),
        (["--class", "unicorn"], "unknown class 'unicorn'; known are airplane,"),
        (["--channels", "0"], "channels must be at least 1, got 0"),
        (["--format", "gif"], "unknown format 'gif'; known are png, svg"),
    ],
)
def test_wrong_input_gets_one_line_and_exit_code_2(runs, capsys, monkeypatch, arguments, message):
    folder = runs("none")
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["visualize", str(folder), *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.shell(visualize.main)
    printed = capsys.readouterr()
    assert caught.value.code == 2 and printed.err.count("\n") == 1
    assert printed.err.startswith(f"error: {message}")
