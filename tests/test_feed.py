"""Training images that are fed in chunks give what those on the device give, to the bit."""

import functools

import chex
import numpy as np
import pytest
import tiny

from jaxattn import Config, fit, resume
from jaxattn.data.splits import Rows, hold_out
from jaxattn.runs import run as runs
from jaxattn.runs.console import Console
from jaxattn.training import evaluation, feed, program

FLAGS = tiny.CONFIG | {"augment": "basic", "flips": "alternating", "attention": "se", "dropout": 0.5}


@pytest.fixture(autouse=True)
def narrow(small_network):
    """Runs take a second."""


@pytest.fixture(scope="module")
def resident(small_network, tmp_path_factory):
    """A function from the steps in a call to the run whose images are on the device, trained once."""

    @functools.cache
    def run(steps):
        with pytest.MonkeyPatch.context() as patch:
            return trained(tmp_path_factory.mktemp("resident") / "run", Console(quiet=True), patch, 1.0, steps)

    return run


def trained(folder, quiet, monkeypatch, share, steps=1, chunk=0):
    with monkeypatch.context() as patch:
        patch.setattr(feed, "SHARE", share)
        patch.setattr(feed, "CHUNK", chunk)
        patch.setattr(program, "steps_in_call", lambda platform, count: steps)
        return fit(Config(**FLAGS), folder, quiet)


def test_images_are_large_above_half_of_a_devices_memory(monkeypatch):
    monkeypatch.setattr(feed, "_memory", lambda: 24)
    assert not feed.is_large(np.zeros(12, np.uint8)) and feed.is_large(np.zeros(13, np.uint8))


@pytest.mark.parametrize(("steps", "batches"), [(1, 1), (1, 5), (1, 1000), (5, 10)])
def test_a_run_that_is_fed_equals_one_on_the_device(tmp_path, quiet, monkeypatch, resident, steps, batches):
    on_device = resident(steps)
    fed = trained(tmp_path / "fed", quiet, monkeypatch, 0.0, steps, batches * 6 * 32 * 32 * 3)
    chex.assert_trees_all_equal(fed.variables, on_device.variables)
    times = ("seconds", "images_per_second", "augmentation_share", "step_share", "evaluation_share")
    for one, other in zip(fed.metrics, on_device.metrics, strict=True):
        assert {k: v for k, v in one.items() if k not in times} == {k: v for k, v in other.items() if k not in times}
    assert fed.result["test_loss"] == on_device.result["test_loss"]


def test_a_run_that_is_fed_resumes_on_the_device(tmp_path, quiet, monkeypatch, resident):
    whole = resident(1)
    with monkeypatch.context() as patch:
        patch.setattr(feed, "SHARE", 0.0)
        fit(Config(**FLAGS | {"epochs": 1}), tmp_path / "part", quiet)
    chex.assert_trees_all_equal(resume(tmp_path / "part", epochs=2, console=quiet).variables, whole.variables)
    assert runs.load_run(tmp_path / "part").epoch == whole.epoch


@pytest.mark.parametrize(("size", "steps", "chunk"), [(7, 1, 1), (7, 1, 3 * 7 * 12), (5, 3, 2 * 5 * 12), (5, 3, 10**9)])
def test_every_example_is_fed_once_in_order(monkeypatch, size, steps, chunk):
    monkeypatch.setattr(feed, "CHUNK", chunk)
    images = np.arange(40, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 2, 2, 3), np.uint8)
    split = feed.Split(images, np.arange(40, dtype=np.int32))
    rows = np.random.default_rng(0).permutation(40)[: 40 // size * size].reshape(-1, size).astype(np.int32)
    seen = []
    for some, labels, positions, numbers in feed.Fed(split).calls(rows, steps):
        np.testing.assert_array_equal(np.asarray(labels)[positions], numbers)
        np.testing.assert_array_equal(np.asarray(some)[positions][..., 0, 0, 0], numbers)
        seen += np.asarray(numbers).reshape(-1, size).tolist()
    assert seen == rows.tolist()


def test_images_are_not_copied_into_memory_where_they_are_fed(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, tiny.splits().train.images)
    split = feed.Split(np.load(path, mmap_mode="r"), tiny.splits().train.labels)
    kept, held = hold_out(split, 16, 0, lazy=True)
    copied, same = hold_out(split, 16, 0)
    assert isinstance(kept.images, Rows) and kept.images.nbytes == copied.images.nbytes
    np.testing.assert_array_equal(kept.images[np.arange(144)], copied.images)
    np.testing.assert_array_equal(kept.take(np.array([5, 2])).images, copied.images[[5, 2]])
    np.testing.assert_array_equal(held.images, same.images)


def test_evaluation_of_a_large_split_is_that_of_a_small_one(monkeypatch):
    splits, calls = tiny.splits(test=300), []

    def step(variables, images, labels, rows, valid):
        calls.append(len(images))
        logits = np.asarray(images)[np.asarray(rows)].mean((1, 2))
        right = np.asarray(labels)[np.asarray(rows)]
        return (right[valid].sum(), valid.sum(), valid.sum()), logits

    small = evaluation.evaluate(step, {}, splits.test)
    monkeypatch.setattr(feed, "SHARE", 0.0)
    large = evaluation.evaluate(step, {}, splits.test)
    assert small[:2] == large[:2] and set(calls[:2]) == {300} and set(calls[2:]) == {256}
    np.testing.assert_array_equal(small[2], large[2])
