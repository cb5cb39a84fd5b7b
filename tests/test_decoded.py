"""The cache of decoded data sets: the same arrays, never out of date, and never in the way."""

import os

import numpy as np
import pytest
import tiny

from jaxattn.data import decoded, shapes
from jaxattn.data.announce import Listener, announce, announced_to
from jaxattn.data.cifar10 import load


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "jaxattn" / "data"


@pytest.fixture
def folder(tmp_path):
    return tiny.folder(tmp_path / "data") / "cifar10" / "3.0.2"


def never():
    raise AssertionError("it was decoded again")


def test_second_start_maps_the_arrays_of_the_first(folder, cache):
    first, second = load(folder), load(folder)
    assert first.digest() == second.digest() == tiny.splits().digest()
    assert isinstance(second.train.images, np.memmap) and second.classes == first.classes
    assert decoded.cached(folder, never).digest() == first.digest()
    assert not list(cache.glob("incomplete*"))


def test_a_loader_announces_what_it_then_gives_whether_it_decodes_or_maps(folder, cache):
    announced = []
    with announced_to(Listener(lambda *sizes: announced.append(sizes))):
        decoding, mapping, drawn = load(folder), load(folder), shapes.load(folder)
    for sizes, splits in zip(announced, (decoding, mapping, drawn), strict=True):
        assert sizes == (len(splits.classes), splits.train.images.shape[1:], len(splits.train))
    load(folder)  # nobody listens any more
    assert len(announced) == 3


def test_a_listener_is_told_of_the_entry_once_it_is_complete(folder, cache):
    told = []
    with announced_to(Listener(kept=lambda entry: told.append((entry, sorted(path.name for path in entry.iterdir()))))):
        load(folder)
        load(folder)
    (entry,) = cache.iterdir()
    assert told == [(entry, sorted(path.name for path in entry.iterdir()))] * 2


def test_an_entry_is_saved_when_the_listener_has_time(folder, cache):
    left = []
    with announced_to(Listener(later=left.append)):
        load(folder)
    assert not cache.exists()
    (save,) = left
    save()
    assert decoded.cached(folder, never).digest() == tiny.splits().digest()


def test_what_a_killed_process_left_is_deleted_after_an_hour(folder, cache):
    old, new = cache / "incomplete.old", cache / "incomplete.new"
    for draft in (old, new):  # another process may still be writing the new one
        draft.mkdir(parents=True)
    os.utime(old, (0, 0))
    load(folder)
    assert not old.exists() and new.exists()


def test_another_content_in_the_same_place_is_decoded(folder):
    load(folder)
    (shard,) = folder.glob("*train*")
    shard.write_bytes(shard.read_bytes() + b"x")
    with pytest.raises(AssertionError, match="decoded again"):
        decoded.cached(folder, never)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:200])])
def test_a_damaged_entry_is_replaced(folder, cache, damage):
    load(folder)
    (entry,) = cache.iterdir()
    damage(entry / "train_images.npy")
    assert load(folder).digest() == tiny.splits().digest()
    assert decoded.cached(folder, never)


def test_a_cache_that_cannot_be_written_is_done_without(folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load(folder).digest() == tiny.splits().digest()


def test_only_the_newest_entries_are_kept(tmp_path, cache):
    for seed in range(4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / "source").write_text(str(seed))
        decoded.cached(folder, lambda seed=seed: tiny.splits(seed=seed))
    assert len(list(cache.iterdir())) == decoded.KEPT


@pytest.mark.parametrize("damage", [b"", b"[]", b"null"])
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


def failing(*_):
    raise RuntimeError("the step does not compile")


@pytest.mark.parametrize("listener", [Listener(announced=failing), Listener(kept=failing)])
def test_an_error_of_the_listener_is_not_taken_for_a_damaged_entry(folder, cache, listener):
    load(folder)
    with announced_to(listener), pytest.raises(RuntimeError, match="the step does not compile"):
        decoded.cached(folder, never)


def test_an_error_of_the_listener_is_not_taken_for_a_cache_without_a_place(folder, monkeypatch):
    def finish(folder):
        announce(10, (32, 32, 3), 160)

    monkeypatch.setattr(decoded.prefetch, "finish", finish)
    with announced_to(Listener(announced=failing)), pytest.raises(RuntimeError, match="the step does not compile"):
        decoded.cached(folder, never)
