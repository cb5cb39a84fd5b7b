"""Other images of CIFAR-10: published files, samples, people's labels."""

import hashlib
import shutil

import numpy as np
import pytest
import tiny
from published import write_published

from jaxattn.data.splits import stratified
from jaxattn.errors import InputError
from jaxattn.robustness import __main__ as command
from jaxattn.robustness import official
from jaxattn.robustness.corruptions import corrupt
from jaxattn.robustness.view import cross_entropy
from jaxattn.robustness.views import find

pytestmark = pytest.mark.usefixtures("small_network")
NONE = dict.fromkeys(command.FILES)


def test_cross_entropy_is_that_of_peoples_shares():
    logits, counts = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])), np.array([[2, 2, 0], [0, 5, 0]])
    expected = -np.mean([0.5 * np.log(0.5) + 0.5 * np.log(0.25), np.log(0.8)])
    assert cross_entropy(logits, counts) == pytest.approx(expected)


def test_a_sample_has_all_classes_in_proportion_and_holds_the_smaller_samples():
    labels = np.arange(200, dtype=np.int32) % 10
    small, large = stratified(labels, 30, 0), stratified(labels, 100, 0)
    assert set(small) < set(large)
    assert set(np.bincount(labels[small])) == {3} and set(np.bincount(labels[large])) == {10}


@pytest.fixture
def test_split(monkeypatch):
    """The test images of a small stand-in for CIFAR-10, whose order counts as official."""
    test = tiny.splits().test
    monkeypatch.setattr(official, "OFFICIAL", hashlib.sha256(test.labels.astype(np.uint8).tobytes()).hexdigest())
    return test


def test_views_are_the_images_and_labels_of_their_files(test_split, tmp_path):
    views = {(view.name, view.severity): view for view in
             find("cifar10", test_split, ["blur"], None, write_published(tmp_path, test_split))}  # fmt: skip
    images, labels = views["C: snow", 2].load()
    np.testing.assert_array_equal(images, np.clip(test_split.images.astype(int) + 80, 0, 255))
    np.testing.assert_array_equal(labels, test_split.labels)
    np.testing.assert_array_equal(views["blur", 4].load()[0], corrupt("blur", 4, test_split.images))
    np.testing.assert_array_equal(views["CIFAR-10.1 v6", 0].load()[1], test_split.labels[:20])
    for name, out in (("without near-duplicates", [3, 6]), ("without doubted labels", [5, 39])):
        images, labels = views[name, 0].load()
        np.testing.assert_array_equal(images, np.delete(test_split.images, out, axis=0))
        np.testing.assert_array_equal(labels, np.delete(test_split.labels, out))
    labels = views["people's labels", 0].load()[1]
    assert labels[1] == 7 and np.array_equal(np.delete(labels, 1), np.delete(test_split.labels, 1))
    assert len({view.digest for view in views.values()}) == len(views)


def test_a_sample_takes_the_same_test_images_in_each_view(test_split, tmp_path):
    views = {(view.name, view.severity): view for view in
             find("cifar10", test_split, ["shift"], 20, write_published(tmp_path, test_split))}  # fmt: skip
    images, labels = views["test images", 0].load()
    assert len(images) == 20 and set(np.bincount(labels)) == {2}
    np.testing.assert_array_equal(views["C: fog", 1].load()[0], np.clip(images.astype(int) + 20, 0, 255))
    np.testing.assert_array_equal(views["shift", 1].load()[0], corrupt("shift", 1, images))
    assert views["people's labels", 0].people.shape == (20, 10)


def saved(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def pickled(path):
    np.save(path, np.array([{}], object), allow_pickle=True)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


BAD = [
    ("cifar10_c", lambda f, t: shutil.rmtree(f / "c"), "there is no such folder"),
    ("cifar10_c", lambda f, t: (f / "c/labels.npy").unlink(), "cannot read .*labels.npy .*: No such file"),
    ("cifar10_c", lambda f, t: saved(f / "c/labels.npy", np.zeros(200, int)), "test images five times"),
    ("cifar10_c", lambda f, t: saved(f / "c/labels.npy", np.zeros(40, int)), r"integers \[200\], it is int64 \[40\]"),
    ("cifar10_c", lambda f, t: saved(f / "c/fog.npy", t.images), r"uint8 \[200, 32, 32, 3\], it is uint8 \[40,"),
    ("cifar10_c", lambda f, t: saved(f / "c/fog.npy", np.zeros((200, 32, 32, 3), np.float32)), "it is float32"),
    ("cifar10_c", lambda f, t: pickled(f / "c/fog.npy"), "cannot read .*fog.npy as a NumPy array: .*Python objects"),
    ("cifar10_c", lambda f, t: cut(f / "c/fog.npy"), "cannot read .*fog.npy as a NumPy array: "),
    ("cifar10_c", lambda f, t: (f / "c/fog.npy").write_bytes(b"PK"), "cannot read .*fog.npy"),
    ("cifar10_1", lambda f, t: (f / "new/cifar10.1_v6_labels.npy").unlink(), "cannot read .*v6_labels.npy"),
    ("cifar10_1", lambda f, t: shutil.rmtree(f / "new"), "must hold cifar10.1_v6_data.npy and"),
    ("cifar10_1", lambda f, t: saved(f / "new/cifar10.1_v6_data.npy", t.images), r"must be uint8 \[20, 32, 32, 3\]"),
    ("cifar10_1", lambda f, t: saved(f / "new/cifar10.1_v6_labels.npy", np.arange(20)), r"labels must lie in 0\.\.9"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").unlink(), "cannot be read: No such file"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").write_text("TestID,Judgment\n40,1\n"), r"must lie in 0\.\.39"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").write_text("TestID,Judgment\n4,3\n"), r"must lie in 0\.\.2"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").write_text("TestID,Judgment\n4,1\nx,1\n"), "line 3: it must be"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").write_text("TestID,Judgment\n4\n"), "line 2: it must be"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").write_text("TestID,Judgment\n"), "it has no line"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").write_text("id\n1\n"), "TestID, Judgment.* it lacks TestID"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").write_bytes(b"\xff\xfe\xff"), "cannot be read: 'utf-8'"),
    ("label_errors", lambda f, t: (f / "errors.csv").write_text("test_index,label\n5,9\n"), "5 of image 5, found 9"),
    ("label_errors", lambda f, t: (f / "errors.csv").write_text("test_index,label\n-1,9\n"), r"found -1\.\.-1"),
    ("label_errors", lambda f, t: (f / "errors.csv").write_text("test_index,label\n1_0,9\n"), "line 2: it must be"),
    ("people", lambda f, t: saved(f / "people.npy", np.ones((40, 9))), r"numbers \[40, 10\], it is float64"),
    ("people", lambda f, t: saved(f / "people.npy", np.zeros((40, 10))), "a label at least for each image"),
    ("people", lambda f, t: saved(f / "people.npy", -np.eye(10)[t.labels]), "none below 0"),
    ("people", lambda f, t: saved(f / "people.npy", np.full((40, 10), np.nan)), "must hold counts"),
    ("people", lambda f, t: saved(f / "people.npy", np.eye(10)[t.labels[::-1]]), "for 95% of .*, it is for 0.00%"),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "damage", "reason"), BAD)
def test_files_that_cannot_be_used_are_refused_in_one_line(test_split, tmp_path, setting, damage, reason):
    files = write_published(tmp_path, test_split)
    damage(tmp_path, test_split)
    with pytest.raises(InputError, match=reason) as caught:
        find("cifar10", test_split, [], None, NONE | {setting: files[setting]})
    assert "\n" not in str(caught.value) and caught.value.setting == setting


def test_files_for_cifar10_are_refused_for_other_images(test_split, tmp_path, monkeypatch):
    files = write_published(tmp_path, test_split)
    for setting, path in files.items():
        with pytest.raises(InputError, match="for networks trained on cifar10, the runs' data set is svhn") as caught:
            find("svhn", test_split, [], None, NONE | {setting: path})
        assert caught.value.setting == setting
    monkeypatch.setattr(official, "OFFICIAL", "0" * 64)
    with pytest.raises(InputError, match="not CIFAR-10's in their official order"):
        find("cifar10", test_split, [], None, NONE | {"duplicates": files["duplicates"]})
    with pytest.raises(InputError, match="images must be 1 to 40, the number of test images, got 41"):
        find("svhn", test_split, [], 41, NONE)
