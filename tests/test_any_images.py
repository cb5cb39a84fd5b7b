"""From a folder of photographs to a run, its report, predictions and a comparison, by the commands themselves."""

import importlib
import json
import re

import numpy as np
import pytest
from PIL import Image, ImageFilter

from jaxattn import Config, load_run, predict, train
from jaxattn.data import cache
from jaxattn.errors import InputError
from jaxattn.explain import explanation
from jaxattn.report import page
from jaxattn.runs.folder import default_folder
from jaxattn.runtime import KEEP_BARRIERS
from jaxattn.training import program

SHORT = ["--batch-size", "8", "--epochs", "1", "--attention", "se", "--no-report"]


@pytest.fixture(autouse=True)
def alone(small_network, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(page, "SCORED", 4)
    monkeypatch.setattr(explanation, "STEPS", 2)


def photographs(root, sizes=((300, 224), (224, 260)), classes=("left", "right"), each=14):
    """Blurred noise with a bright half, as JPEG files: the class is the half."""
    random = np.random.default_rng(0)
    for number, name in enumerate(classes):
        for i in range(each):
            width, height = sizes[i % len(sizes)]
            pixels = random.integers(0, 120, (height, width, 3)).astype(np.uint8)
            pixels[:, : width // 2] += 100 * (number == 0)
            pixels[:, width // 2 :] += 100 * (number == 1)
            path = root / name / f"IMG {i:04d}.JPG"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(2)).save(path, "JPEG")
    return root


@pytest.mark.parametrize(("size", "shape"), [("224", (224, 224)), ("24x40", (24, 40)), (None, (64, 64))])
def test_a_folder_of_photographs_trains_reports_and_predicts(tmp_path, capsys, monkeypatch, size, shape):
    if size == "224":  # large images run longer than an optimised program is compiled
        monkeypatch.setattr(program, "KEEP_BARRIERS", KEEP_BARRIERS)
    root = photographs(tmp_path / "my photos")
    flags = ["--dataset", f"folder:{root}", *([] if size is None else ["--image-size", size])]
    train.main([*flags, *SHORT[:-1], "--out", str(tmp_path / "run")])
    printed = capsys.readouterr().out
    assert "a fifth of each class of my photos" in printed and f"report: {tmp_path}/run/report.html" in printed
    run = load_run(tmp_path / "run")
    assert run.classes == ("left", "right") and run.image_shape == (*shape, 3)
    assert run.result["test_images"] == 6 and run.result["dataset"] == f"folder:{root}"
    assert any("a fifth of each class" in note for note in run.result["notes"])
    page = (tmp_path / "run" / "report.html").read_text()
    assert "a fifth of each class of my photos" in page and "CIFAR" not in page
    photo = str(root / "left" / "IMG 0000.JPG")
    predict.main([str(tmp_path / "run"), photo, "--json"])
    assert set(json.loads(capsys.readouterr().out)["probabilities"]) == {"left", "right"}


def test_a_second_start_reads_no_photograph_and_ends_with_the_same_weights(tmp_path, capsys):
    flags = ["--dataset", f"folder:{photographs(tmp_path / 'set')}", "--image-size", "16", *SHORT]
    train.main([*flags, "--out", str(tmp_path / "first")])
    assert "reading 28 images of" in capsys.readouterr().out
    (entry,) = cache.entries()
    assert entry.spec.train == 22 and entry.size > 28 * 16 * 16 * 3
    train.main([*flags, "--out", str(tmp_path / "second")])
    assert "reading" not in capsys.readouterr().out
    first, second = (load_run(tmp_path / name) for name in ("first", "second"))
    np.testing.assert_array_equal(
        first.variables["params"]["head"]["kernel"], second.variables["params"]["head"]["kernel"]
    )


def test_a_folder_that_has_moved_is_found_by_its_new_place(tmp_path, capsys):
    root = photographs(tmp_path / "set")
    flags = ["--dataset", f"folder:{root}", "--image-size", "16", *SHORT]
    train.main([*flags, "--out", str(tmp_path / "run")])
    root.rename(tmp_path / "moved")
    train.main(
        ["--resume", str(tmp_path / "run"), "--epochs", "2", "--data-dir", str(tmp_path / "moved"), "--no-report"]
    )
    assert load_run(tmp_path / "run").epoch == 2


def test_variants_are_compared_on_a_folder(tmp_path, capsys):
    root = photographs(tmp_path / "set")
    flags = ["--dataset", f"folder:{root}", "--image-size", "16", "--batch-size", "8", "--epochs", "1"]
    importlib.import_module("jaxattn.comparison.__main__").main(
        ["--attention", "none", "se", "--seeds", "2", "--out", str(tmp_path / "c"), *flags]
    )
    printed, page = capsys.readouterr().out, (tmp_path / "c" / "compare.html").read_text()
    assert "se:" in printed
    last = printed.partition("the baseline")[2]
    assert last.count("note: ") == last.count("note: the test set is a fifth of each class of set") == 1
    assert page.count("a fifth of each class of set") == 1


def test_the_folder_of_a_run_is_named_after_that_of_the_images_without_spaces():
    config = Config(dataset="folder:/photos/my  Vögel", attention="wide:se")
    assert re.fullmatch(r"runs/\d{8}-\d{6}-my-Vögel-wide-se-s0", default_folder(config).as_posix())


def test_a_wrong_name_is_found_before_a_photograph_is_read(tmp_path, capsys):
    root = photographs(tmp_path / "set")
    with pytest.raises(InputError, match="unknown attention 'foo'"):
        train.main(["--dataset", f"folder:{root}", "--attention", "foo", "--out", str(tmp_path / "run")])
    assert "reading" not in capsys.readouterr().out and not cache.entries()


@pytest.mark.parametrize(
    "flags", [["--dataset", "cifar10", "--data-dir", "a" * 300], ["--dataset", "folder:" + "a" * 300]]
)
def test_a_path_that_the_system_refuses_is_one_line(tmp_path, flags):
    with pytest.raises(InputError, match="File name too long; choose another"):
        train.main([*flags, "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()
