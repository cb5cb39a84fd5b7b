"""Splits: what they accept, and what is held out of train for validation."""

import dataclasses

import numpy as np
import pytest

from jaxattn.data.spec import Spec
from jaxattn.data.splits import Split, Splits, hold_out
from jaxattn.errors import InputError


def make_split(labels, seed=0):
    labels = np.asarray(labels, np.int32)
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 4, 4, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels))  # so that every image is different
    return Split(images, labels, images[..., 0] > 99)


def numbers(split):
    """Which images of `make_split` these are."""
    return split.images[:, 0, 0, 0].tolist()


def test_lists_in_a_spec_become_tuples_and_numbers_must_be_finite():
    wanted = Spec("x", ("a", "b"), (8, 8, 3), 4, 2, (0.5,) * 3, (0.25,) * 3, superclasses=("c", "c"))
    given = object.__new__(Spec)  # past the tests' check of types
    lists = {"classes": ["a", "b"], "image_shape": [8, 8, 3], "mean": np.full(3, 0.5), "std": np.float32([0.25] * 3)}
    for name, value in {**vars(wanted), **lists, "superclasses": ["c", "c"]}.items():
        object.__setattr__(given, name, value)
    given.__post_init__()
    assert given == wanted and hash(given) == hash(wanted) and given.to_json() == wanted.to_json()
    for wrong in ({"mean": (np.nan,) * 3}, {"std": (0.2, 0.2, np.inf)}, {"std": (0.2, 0.2, 0.0)}):
        with pytest.raises(InputError, match="mean and std must be finite and of 3 channels, std above 0"):
            dataclasses.replace(given, **wrong)


def test_held_out_and_kept_are_all_examples_once_in_their_old_order():
    split = make_split(np.arange(50) % 5)
    kept, held = hold_out(split, 15, seed=3)
    assert sorted(numbers(kept) + numbers(held)) == list(range(50))
    assert numbers(kept) == sorted(numbers(kept)) and numbers(held) == sorted(numbers(held))
    for part in (kept, held):
        np.testing.assert_array_equal(part.labels, split.labels[numbers(part)])
        np.testing.assert_array_equal(part.masks, split.masks[numbers(part)])


def test_every_class_is_held_out_in_proportion_to_within_one():
    labels = np.repeat([0, 1, 2], [60, 30, 9])
    _, held = hold_out(make_split(labels), 33, seed=0)
    # A third of 99 is held out, so a third of each class.
    assert np.abs(np.bincount(held.labels) - [20, 10, 3]).max() <= 1


def test_seed_decides_which_examples_are_held_out():
    split = make_split(np.arange(100) % 10)
    draws = [numbers(hold_out(split, 20, seed)[1]) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_a_count_of_zero_holds_out_nothing():
    kept, held = hold_out(make_split([0, 1, 2]), 0, seed=0)
    assert (len(kept), len(held)) == (3, 0)


@pytest.mark.parametrize("count", [-1, 3, 4])
def test_count_that_leaves_no_training_image_is_refused(count):
    with pytest.raises(InputError, match=rf"0\.\.2 of the 3 training images, got {count}"):
        hold_out(make_split([0, 1, 2]), count, seed=0)


@pytest.mark.parametrize(
    "change",
    [
        {"images": np.zeros((2, 4, 4, 3), np.float32)},
        {"images": np.zeros((2, 4, 4, 1), np.uint8)},
        {"labels": np.zeros(2, np.int64)},
        {"labels": np.zeros(3, np.int32)},
        {"masks": np.zeros((2, 4, 4), np.uint8)},
    ],
)
def test_arrays_of_another_kind_are_refused(change):
    good = {"images": np.zeros((2, 4, 4, 3), np.uint8), "labels": np.zeros(2, np.int32)}
    Split(**good)
    with pytest.raises(InputError, match=f"{next(iter(change))} must be"):
        Split(**{**good, **change})


TOY = Spec("toy", ("a", "b"), (4, 4, 3), None, None, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


def test_label_without_a_class_and_empty_split_are_refused():
    train, empty = make_split([0, 1]), make_split([])
    with pytest.raises(InputError, match=r"test labels must lie in 0\.\.1, found 2\.\.2"):
        Splits(TOY, train, make_split([2]))
    with pytest.raises(InputError, match="train split must hold at least one image"):
        Splits(TOY, empty, train)


def test_digest_changes_with_any_image_label_or_order():
    first = make_split([0, 1])
    digests = {
        Splits(TOY, train, first).digest()
        for train in (first, first.take(np.array([1, 0])), Split(first.images, first.labels[::-1].copy()))
    }
    assert len(digests) == 3
    other = dataclasses.replace(TOY, name="other", classes=("c", "d"))
    assert Splits(other, first, first).digest() == Splits(TOY, first, first).digest()


def test_taken_images_lie_where_a_cpu_uses_them_without_a_copy():
    split = Split(np.arange(7 * 4 * 4 * 3, dtype=np.uint8).reshape(7, 4, 4, 3), np.arange(7, dtype=np.int32))
    for indices in (np.array([3, 0, 6]), np.array([2])):
        taken = split.take(indices)
        assert taken.images.ctypes.data % 64 == 0
        np.testing.assert_array_equal(taken.images, split.images[indices])
    with pytest.raises(IndexError):
        split.take(np.array([7]))
