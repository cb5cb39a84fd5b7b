"""`jaxattn export`: each format is read back by what it is for, and gives the same numbers."""

import dataclasses
import json
import shutil
import sys

import chex
import numpy as np
import pytest
import tiny
from exported import IMAGES, RESULT, SHAPE, run_of, write

from jaxattn import export, load_run
from jaxattn import predict as predict_command
from jaxattn.comparison.compare import of_runs
from jaxattn.comparison.plan import Plan
from jaxattn.comparison.plan_file import write_plan
from jaxattn.data.augment import normalize
from jaxattn.errors import InputError
from jaxattn.explain.inference import predict
from jaxattn.exports import FORMATS, safetensors
from jaxattn.runs.manifest import check_folder, read_manifest

pytestmark = pytest.mark.usefixtures("small_network")


@pytest.mark.parametrize("to", ["safetensors", "stablehlo"])
def test_the_run_folder_gets_the_export_and_the_files_are_printed(unfinished, to, capsys):
    for _ in range(2):  # an earlier export is replaced
        export.main([str(unfinished), "--to", to])
        printed = capsys.readouterr().out.splitlines()
    folder = unfinished / f"export-{to}"
    assert printed[0] == str(folder / FORMATS[to].file)
    assert set(printed) == set(map(str, folder.iterdir()))
    shutil.rmtree(folder)


def test_a_folder_of_anything_else_is_refused_and_left_alone(unfinished, tmp_path):
    config = (unfinished / "config.json").read_bytes()
    (tmp_path / "thesis.tex").touch()
    for out in (unfinished, tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(InputError, match=r"is not empty and holds no model\.safetensors") as caught:
            export.main([str(unfinished), "--to", "safetensors", "--out", str(out)])
        assert caught.value.setting == "out"
    assert (unfinished / "config.json").read_bytes() == config
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="cannot write"):
        export.main([str(unfinished), "--to", "safetensors", "--out", str(tmp_path / "thesis.tex" / "x")])


@pytest.mark.parametrize("to", FORMATS)
def test_a_package_that_is_missing_is_named_in_one_line(unfinished, tmp_path, monkeypatch, to):
    monkeypatch.setitem(sys.modules, FORMATS[to].package, None)
    with pytest.raises(InputError) as caught:
        export.main([str(unfinished), "--to", to, "--out", str(tmp_path / "out")])
    package = FORMATS[to].package
    assert str(caught.value) == f"an export to {to} needs {package}: pip install {package}"
    assert not (tmp_path / "out").exists()


def test_an_unknown_format_is_answered_with_the_known_ones(unfinished):
    with pytest.raises(InputError, match="unknown format 'onnx'; known are safetensors, torch, stablehlo"):
        export.main([str(unfinished), "--to", "onnx"])


def test_safetensors_come_back_to_the_bit_with_equal_logits(unfinished, tmp_path):
    export.main([str(unfinished), "--to", "safetensors", "--out", str(tmp_path / "out")])
    run, loaded = load_run(unfinished), safetensors.load(tmp_path / "out")
    chex.assert_trees_all_equal(loaded.variables, run.variables)
    chex.assert_trees_all_equal_shapes_and_dtypes(loaded.variables, run.variables)
    np.testing.assert_array_equal(
        predict(loaded.model, loaded.spec, loaded.variables, IMAGES).logits,
        predict(run.model, run.spec, run.variables, IMAGES).logits,
    )
    assert (loaded.classes, loaded.epoch, loaded.result) == (run.classes, run.epoch, run.result)
    assert dataclasses.replace(loaded.config, data_dir=run.config.data_dir) == run.config


def test_names_are_places_in_the_network_and_scalars_keep_their_shape(tmp_path):
    run = run_of()
    run.variables["memory"] = {"block_1": {"steps": np.array(7, np.int32)}}  # as a module of one's own may
    folder = write(tmp_path / "out", safetensors.contents(run, SHAPE))
    arrays = safetensors.read_safetensors(folder / "model.safetensors")
    assert arrays["params/block_1/conv/kernel"].shape == (3, 3, 3, 4)
    assert arrays["batch_stats/block_3/norm/var"].shape == (8,)
    assert (arrays["memory/block_1/steps"].shape, int(arrays["memory/block_1/steps"])) == ((), 7)


def test_config_says_how_to_use_the_weights_and_nothing_of_this_machine(tmp_path):
    text = safetensors.contents(run_of(init=str(tmp_path / "before"), data_dir=str(tmp_path)), SHAPE)["config.json"]
    values = json.loads(text)
    data = values["data"]
    assert data["classes"] == list(tiny.splits().classes) and data["image_shape"] == [32, 32, 3]
    images = np.random.default_rng(0).uniform(0, 1, (1, 2, 2, 3)).astype(np.float32)
    np.testing.assert_allclose((images - data["mean"]) / data["std"], normalize(images, tiny.SPEC), rtol=1e-5)
    assert values["config"]["init"] == "before" and str(tmp_path) not in text.decode()


def damage(folder, kind):
    config = json.loads((folder / "config.json").read_text())
    if kind == "no config":
        (folder / "config.json").unlink()
    elif kind == "of a run":
        (folder / "config.json").write_text(json.dumps(config["config"]))
    elif kind == "truncated":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:100])
    elif kind == "fewer arrays":
        config["config"]["attention"] = "cbam"
        (folder / "config.json").write_text(json.dumps(config))
    else:
        config["data"]["classes"] = config["data"]["classes"][:4]
        (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no config", "holds no export"),
        ("of a run", "is not of an export"),
        ("truncated", "cannot be read as safetensors"),
        ("fewer arrays", r"params/block_1/attention/channel/excite/kernel is None, not \(1, 4\)"),
        ("other classes", r"params/head/bias is \(10,\) float32, not \(4,\)"),
    ],
)
def test_a_damaged_export_is_reported_in_one_line(tmp_path, kind, message):
    folder = write(tmp_path / "out", safetensors.contents(run_of(), SHAPE))
    damage(folder, kind)
    with pytest.raises(InputError, match=message) as caught:
        safetensors.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_where_a_run_is_expected_is_called_one(tmp_path, unfinished, monkeypatch, to):
    pytest.importorskip(FORMATS[to].package)
    monkeypatch.chdir(tmp_path)
    export.main([str(unfinished), "--to", to, "--out", "out"])
    message = f"out holds an export, {FORMATS[to].file}, and no run; name the folder of the run that was exported"
    calls = [
        lambda: load_run("out"),
        lambda: predict_command.main(["out", "x.png"]),
        lambda: export.main(["out", "--to", to]),
        lambda: of_runs(["out"], "page"),
    ]
    for call in calls:
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == message


def test_a_notebook_shows_an_export_that_was_loaded(tmp_path):
    folder = write(tmp_path / "out", safetensors.contents(run_of("cbam", RESULT), SHAPE))
    html = safetensors.load(folder)._repr_html_()
    assert "test accuracy 75.00%" in html and "attention cbam" in html and str(folder) in html
    assert "<svg" not in html and "report" not in html


LEFT = (
    *(".DS_Store", "Thumbs.db", "desktop.ini", "lost+found", ".ipynb_checkpoints", "._x", ".directory", "@eaDir"),
    *(".AppleDouble", ".TemporaryItems", ".DocumentRevisions-V100", ".fuse_hidden0000a1", ".snapshot", "Icon\r"),
    *("Network Trash Folder", "ehthumbs.db", ".apdisk", "#snapshot"),
)


@pytest.mark.parametrize("name", [*LEFT, "notes.txt", ".git", "snapshot", "Icon", ".fuse_hidden"])
def test_a_folder_with_what_systems_leave_in_it_is_empty(tmp_path, unfinished, name):
    (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).touch()
    calls = [
        lambda: check_folder(tmp_path, read_manifest(unfinished)),
        lambda: export.main([str(unfinished), "--to", "safetensors", "--out", str(tmp_path)]),
        lambda: write_plan(
            tmp_path, Plan(read_manifest(unfinished).config, ("none", "se"), (1,)), "0", lambda plan: ((), 0)
        ),
    ]
    for call in calls:
        for path in tmp_path.iterdir():
            if path.name != name:
                path.unlink()
        if name in LEFT:
            call()
        else:
            with pytest.raises(InputError, match="choose an empty or a new"):
                call()
