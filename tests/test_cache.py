"""The cache of images: the same arrays, never out of date, and never in the way."""

import os
import subprocess
import sys
import types

import numpy as np
import pytest
import tiny

from jaxattn import train
from jaxattn.comparison import __main__ as comparison
from jaxattn.data import cache as data_cache
from jaxattn.data import cifar, cifar10, tfds
from jaxattn.errors import InputError
from jaxattn.robustness import __main__ as robustness
from jaxattn.runs import data
from jaxattn.runs.console import Console

load = cifar10.DATASET.load


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "jaxattn" / "data"


@pytest.fixture
def folder(tmp_path):
    return tiny.folder(tmp_path / "data") / "cifar10" / "3.0.2"


def files(folder):
    return sorted(path for path in folder.iterdir() if path.is_file())


def never(allocate):
    raise AssertionError("it was read again")


def again(folder):
    """What the cache holds; it fails where the files would be read."""
    return data_cache.cached(data_cache.key(files(folder)), never)


def test_second_start_maps_the_arrays_of_the_first(folder, cache):
    first, second = load(folder), load(folder)
    assert first.digest() == second.digest() == tiny.splits().digest()
    assert isinstance(second.train.images, np.memmap) and second.spec == first.spec
    assert again(folder).digest() == first.digest()
    assert not list(cache.glob("incomplete*"))


def test_the_second_start_opens_no_file_of_the_data(folder, monkeypatch):
    load(folder)
    for path in files(folder):
        path.write_bytes(b"")  # whatever reads one fails
    monkeypatch.setattr(data_cache, "key", lambda *args: next(data_cache.folder().iterdir()).name)
    assert load(folder).digest() == tiny.splits().digest()


@pytest.fixture
def start(monkeypatch):
    """What a start of training does, where TFDS folders of any size are read by a process of their own."""
    monkeypatch.setattr(cifar, "LARGE", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)

    def start(folder):
        cifar10.DATASET.prepare(folder)
        return load(folder)

    return start


def test_a_large_tfds_folder_is_read_by_a_process_of_its_own(folder, start, monkeypatch):
    monkeypatch.setattr(tfds, "read", lambda *args: never(args))  # in this one
    cifar10.DATASET.prepare(folder)
    monkeypatch.setattr(subprocess, "Popen", never)  # no second time, neither while it reads nor later
    splits = start(folder)
    assert splits.digest() == tiny.splits().digest() and isinstance(splits.train.images, np.memmap)
    assert start(folder).digest() == splits.digest()


@pytest.mark.parametrize("what", ["fails", "cannot be started", "is for two cores", "cannot write"])
def test_where_the_process_keeps_nothing_the_folder_is_read_here(folder, start, tmp_path, monkeypatch, what):
    match what:
        case "fails":
            monkeypatch.setattr(cifar, "__name__", "jaxattn.missing")
        case "cannot be started":
            monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
        case "is for two cores":
            monkeypatch.setattr(os, "cpu_count", lambda: 1)
            monkeypatch.setattr(subprocess, "Popen", never)
        case "cannot write":
            (tmp_path / "cache").write_text("no folder")
    read, here = tfds.read, []
    monkeypatch.setattr(tfds, "read", lambda *args: here.append(args) or read(*args))
    assert start(folder).digest() == tiny.splits().digest() and len(here) == 1


def test_a_damaged_folder_is_one_line_whoever_reads_it(folder, start, capfd):
    (shard,) = folder.glob("*test*")
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"is incomplete or corrupt: .*; delete the folder and retry$"):
        start(folder)
    assert capfd.readouterr() == ("", "")


def test_what_is_known_before_reading_is_what_was_read(folder):
    name = data_cache.key(files(folder))
    assert data_cache.spec_of(name) is None
    splits = load(folder)
    assert data_cache.spec_of(name) == splits.spec and splits.spec.train == 160


def test_what_a_killed_process_left_is_deleted_after_an_hour(folder, cache):
    old, new, slow = (cache / f"incomplete.{name}" for name in ("old", "new", "slow"))
    for draft in (old, new, slow):  # another process may still be writing the new one
        draft.mkdir(parents=True)
    (slow / "train_images.npy").touch()  # and this one, which it began long ago
    (cache / ".DS_Store").touch()
    os.utime(old, (0, 0)), os.utime(slow, (0, 0))
    load(folder)
    assert not old.exists() and new.exists() and slow.exists()


@pytest.mark.parametrize("change", ["content", "same size and time", "added", "removed"])
def test_changed_files_are_read_again(folder, change):
    load(folder)
    path = next(folder.glob("*train*"))
    state = path.stat()
    if change == "content":
        path.write_bytes(path.read_bytes() + b"x")
    elif change == "same size and time":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    elif change == "added":
        (folder / "more").touch()
    else:
        path.unlink()
    with pytest.raises(AssertionError, match="read again"):
        again(folder)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:200])])
def test_a_damaged_entry_is_replaced(folder, cache, damage):
    load(folder)
    (entry,) = cache.iterdir()
    damage(entry / "train_images.npy")
    assert load(folder).digest() == tiny.splits().digest()
    assert again(folder).digest() == tiny.splits().digest()


def test_an_entry_with_a_flipped_bit_is_replaced(folder, cache):
    load(folder)
    (entry,) = cache.iterdir()
    content = bytearray((entry / "test_images.npy").read_bytes())
    content[-100] ^= 4
    (entry / "test_images.npy").write_bytes(content)
    assert load(folder).digest() == tiny.splits().digest()


def test_a_cache_that_cannot_be_written_is_done_without(folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load(folder).digest() == tiny.splits().digest()


def saved(tmp_path, seeds):
    """The entries of data sets of half a megabyte each, one used after the other."""
    for seed in seeds:
        source = tmp_path / str(seed)
        source.touch()
        data_cache.cached(data_cache.key([source]), lambda allocate, seed=seed: tiny.splits(seed=seed))
        entry = data_cache.folder() / data_cache.key([source])
        if entry.exists():
            os.utime(entry, (seed, seed))


def test_entries_used_last_are_kept_up_to_the_limit(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXATTN_CACHE_LIMIT", "0.0016")  # gigabytes; an entry has 0.62 million bytes
    saved(tmp_path, range(4))
    assert [entry.used for entry in data_cache.entries()] == [3, 2]


def test_a_data_set_beyond_the_limit_is_not_cached_and_deletes_nothing(tmp_path, monkeypatch):
    saved(tmp_path, [1])
    monkeypatch.setenv("JAXATTN_CACHE_LIMIT", "0.0001")
    saved(tmp_path, [2])
    assert [entry.used for entry in data_cache.entries()] == [1]


@pytest.mark.parametrize("text", ["much", "-1", "nan", "inf"])
def test_a_limit_that_is_no_size_is_refused(monkeypatch, text):
    monkeypatch.setenv("JAXATTN_CACHE_LIMIT", text)
    with pytest.raises(InputError, match=f"JAXATTN_CACHE_LIMIT must be gigabytes, 0 or more, got '{text}'"):
        data_cache.limit()


@pytest.mark.parametrize(("flag", "entries"), [([], 1), (["--cache-limit", "0"], 0)])
def test_the_flag_limits_what_a_run_leaves(folder, cache, monkeypatch, flag, entries):
    monkeypatch.setenv(data_cache.LIMIT, "20")  # which the flag replaces, for this test
    data_dir = str(folder.parents[1])

    def fit(config, out, **options):
        return data.load_data(config, data.find(config), Console(quiet=True))

    monkeypatch.setattr("jaxattn.runs.fit.fit", fit)
    train.main(["--dataset", "cifar10", "--data-dir", data_dir, "--no-report", *flag])
    assert len(list(cache.glob("*/about.json"))) == entries


@pytest.mark.parametrize(
    ("command", "words"),
    [(train, ""), (comparison, "--attention none se --out OUT"), (robustness, "RUN --out OUT")],
    ids=["train", "compare", "robustness"],
)
def test_the_flag_of_each_command_sets_the_limit(command, words, tmp_path, monkeypatch):
    monkeypatch.setenv(data_cache.LIMIT, "20")
    words = [str(tmp_path / word) if word.isupper() else word for word in words.split()]
    with pytest.raises(InputError, match=f"{data_cache.LIMIT} must be gigabytes, 0 or more, got 'much'"):
        command.main([*words, "--cache-limit", "much"])


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file cannot be deleted there")
def test_images_that_another_process_has_mapped_survive_clearing(tmp_path):
    saved(tmp_path, [1])
    code = (
        "import sys; from jaxattn.data import cache; splits = cache.cached(sys.argv[1], None); "
        "print('mapped', flush=True); input(); print(splits.train.images.sum())"
    )
    name = data_cache.entries()[0].path.name
    with subprocess.Popen(
        [sys.executable, "-c", code, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "mapped\n"
        assert data_cache.clear() == 1 and not data_cache.entries()
        assert int(process.communicate("\n")[0]) == tiny.splits(seed=1).train.images.sum()


def test_a_full_disk_is_noticed_before_an_array_is_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr(data_cache.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=0))
    array = data_cache._allocate(tmp_path, "train", (2, 3, 4, 3))
    assert array.shape == (2, 3, 4, 3) and not isinstance(array, np.memmap)


@pytest.mark.parametrize("damage", [b"", b"[]", b"null", b'{"spec": 1, "digest": ""}'])
def test_a_damaged_description_of_an_entry_is_replaced(folder, cache, damage):
    load(folder)
    (entry,) = cache.iterdir()
    (entry / "about.json").write_bytes(damage)
    assert load(folder).digest() == tiny.splits().digest()


def test_an_entry_of_other_numbers_is_replaced(folder, cache):
    load(folder)
    (entry,) = cache.iterdir()
    np.save(entry / "train_labels.npy", np.zeros(160, np.int32))  # as a power cut may leave them
    assert load(folder).digest() == tiny.splits().digest()
