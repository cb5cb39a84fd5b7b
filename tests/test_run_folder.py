"""Which folders a run is written to, which are refused, and what a failure leaves there."""

import dataclasses
import errno
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny

from jaxattn import Config, fit, load_run, resume
from jaxattn.data import DATASETS
from jaxattn.errors import InputError
from jaxattn.lock import FILE as LOCK
from jaxattn.lock import exclusive_lock
from jaxattn.runs import checkpoint, data, store
from jaxattn.runs.folder import default_folder
from jaxattn.runs.formats import NEWER
from jaxattn.runs.manifest import Manifest, check_continues, claim, read_manifest
from jaxattn.training import loop

pytestmark = pytest.mark.usefixtures("small_network")


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("given", ["data", "./data", "~/data", "/data"])
def test_a_relative_data_folder_is_stored_absolute_and_one_at_home_as_it_is(tmp_path, quiet, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    config = data.with_absolute_paths(Config(**tiny.CONFIG | {"data_dir": given}))
    config, splits = data.load_data(config, data.find(config), quiet)
    with claim(tmp_path / "run", Manifest(config, splits.spec, splits.digest())):
        stored = read_manifest(tmp_path / "run").config.data_dir
    assert stored == (given if given[0] in "~/" else str(tmp_path / "data"))


def test_folder_of_another_configuration_is_refused_and_left_alone(tmp_path, quiet):
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet)
    before = files(tmp_path / "run")
    with pytest.raises(InputError, match=r"holds a run with attention none, not se; choose another folder$") as caught:
        fit(Config(attention="se", **tiny.CONFIG), tmp_path / "run", quiet)
    assert caught.value.setting == "out"
    assert before == files(tmp_path / "run")


def test_folder_that_another_process_trains_in_is_refused_and_left_alone(tmp_path, quiet):
    folder = tmp_path / "run"
    folder.mkdir()
    with exclusive_lock(folder):
        with pytest.raises(InputError, match=r"another process is training in .*run; wait for it or stop it, or choos"):
            fit(Config(**tiny.CONFIG), folder, quiet)
        assert [path.name for path in folder.iterdir()] == [LOCK]
    with claim(folder, Manifest(Config(**tiny.CONFIG), tiny.SPEC, "")):
        assert (folder / "config.json").exists()


def test_folder_of_other_files_is_refused(tmp_path, quiet):
    (tmp_path / "thesis.tex").touch()
    for out in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(InputError, match="is not a run folder; choose an empty or a new one"):
            fit(Config(**tiny.CONFIG), out, quiet)


def test_folder_that_cannot_be_written_is_reported(tmp_path, quiet):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write the run folder"):
        fit(Config(**tiny.CONFIG), tmp_path / "file" / "run", quiet)


@pytest.mark.parametrize(
    "number, reason",
    [
        (errno.ENOSPC, "No space left on device; free space"),
        (errno.EROFS, "Read-only file system; make it writable"),
        (errno.ENOENT, "No such file or directory; restore what was removed"),
        (errno.EIO, "Input/output error; fix that"),
    ],
)
def test_folder_that_fails_while_it_is_written_is_reported_in_one_line(tmp_path, quiet, monkeypatch, number, reason):
    def fail(*a, **k):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("jaxattn.runs.fit.write_metrics", fail)
    with pytest.raises(InputError, match=f"{reason}, then resume$") as caught:
        fit(Config(**tiny.CONFIG), tmp_path / "run", quiet)
    assert (caught.value.setting, caught.value.value) == ("resume", tmp_path / "run")


def test_run_killed_before_its_folder_was_made_starts_anew(tmp_path, quiet):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json.part").write_text("{")
    (tmp_path / "run" / "config.json.01ab23cd.part").write_text("{")
    assert fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet).result["epochs"] == 1


def test_two_that_write_one_file_at_once_leave_one_of_both_whole(tmp_path):
    texts = {str(number) * 200_000 for number in range(8)}

    def write(text):
        store.write_text(tmp_path / "file", text)
        return (tmp_path / "file").read_text() in texts

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write, 5 * sorted(texts)))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_too_little_memory_is_one_line(tmp_path, quiet, monkeypatch):
    def full(*arguments):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8589934592 bytes.")

    monkeypatch.setattr(loop, "_epoch", full)
    with pytest.raises(InputError, match="the device has too little memory; a smaller batch_size may help"):
        fit(Config(**tiny.CONFIG), tmp_path / "run", quiet)


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("folder:/a b/images/", "images"), ("folder:C:\\Users\\me\\my images", "my-images"), ("cifar10", "cifar10")],
)
def test_the_default_folder_has_the_name_of_the_data(dataset, name):
    assert re.fullmatch(rf"\d{{8}}-\d{{6}}-{name}-none-s0", default_folder(Config(dataset=dataset)).name)


def test_a_moved_data_set_is_not_named_as_what_differs():
    old, new = (
        Manifest(Config(dataset=f"folder:/{place}", label_smoothing=smoothing), tiny.SPEC, "0")
        for place, smoothing in (("old", 0.1), ("new", 0.3))
    )
    with pytest.raises(InputError, match=r"holds a run with label_smoothing 0\.1, not 0\.3"):
        check_continues(Path("x"), old, new, "out")


def test_files_in_the_checkpoint_folder_that_are_no_checkpoints_are_left_alone(tmp_path, quiet):
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet)
    folder = tmp_path / "run" / "checkpoints"
    (folder / ".DS_Store").write_bytes(b"Finder")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "note.txt").touch()
    (folder / "7").touch()  # a file, not a checkpoint
    assert resume(tmp_path / "run", epochs=2, console=quiet).result["epochs"] == 2
    assert (folder / ".DS_Store").read_bytes() == b"Finder" and (folder / ".ipynb_checkpoints" / "note.txt").exists()
    assert load_run(tmp_path / "run", "last").epoch == checkpoint.epochs(folder)[-1] == 2


@pytest.mark.parametrize("name", ["half a \ud800", "a\0b"])
def test_what_could_not_be_read_back_is_refused_before_training(tmp_path, quiet, monkeypatch, name):
    spec = dataclasses.replace(tiny.SPEC, classes=(name, *tiny.SPEC.classes[1:]))
    monkeypatch.setitem(DATASETS, "tiny", tiny.dataset(spec=spec))
    with pytest.raises(InputError, match=r"config\.json of this run could not be read back: "):
        fit(Config(**tiny.CONFIG), tmp_path / "run", quiet)
    assert not (tmp_path / "run").exists()


def test_a_configuration_of_an_earlier_format_is_read_whole_or_refused(tmp_path, quiet):
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet)
    path = tmp_path / "run" / "config.json"
    values = json.loads(path.read_text())
    newer = ("format", "starts", "data", "acts_on", *NEWER)
    second = {"format": 2} | {name: value for name, value in values.items() if name not in newer}
    second |= {"classes": values["data"]["classes"], "image_shape": [32, 32, 3]}
    first = {name: value for name, value in second.items() if name != "format"}
    path.write_text(json.dumps(second))
    old = load_run(tmp_path / "run").spec
    assert (old.mean, old.std, old.train) == (tiny.SPEC.mean, tiny.SPEC.std, None)
    path.write_text(json.dumps(first))
    assert load_run(tmp_path / "run").notes == ()
    grown = resume(tmp_path / "run", epochs=2, console=quiet)
    assert grown.notes == ("versions and machine of epochs 1 to 1 were not recorded",)
    for damaged, message in (
        (
            {k: v for k, v in first.items() if k != "muon_decay"},
            "configuration lacks muon_decay; it was written by",
        ),
        (values | {"format": 5}, "it is of format 5, and this version of jaxattn reads formats up to 4"),
        (values | {"starts": [{}]}, "is damaged"),
        (values | {"data": values["data"] | {"mean": [0.5]}}, "is damaged: .*mean and std must have 3 numbers"),
        (values | {"data": values["data"] | {"train": "many"}}, "is damaged"),
        (values | {"starts": [values["starts"][0] | {"epoch": "1"}]}, "is damaged"),
    ):
        path.write_text(json.dumps(damaged))
        with pytest.raises(InputError, match=message):
            load_run(tmp_path / "run")
