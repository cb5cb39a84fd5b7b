"""Batches pickled by any Python: read; with faults or hostile: refused by name."""

import os
import pickle

import numpy as np
import pytest
from cifar10_files import (  # noqa: F401 (a fixture)
    TEST_IMAGES,
    TEST_LABELS,
    TRUTH,
    assert_refused,
    assert_whole,
    load,
    no_server,
    pickled_batch,
    planes,
    python2_batch,
    write_python,
)

from jaxattn.data import cifar10
from jaxattn.data.cifar import archives


@pytest.mark.parametrize("protocol", ["python 2", 2, 3, 4, 5])
def test_batches_pickled_by_any_python_are_read(tmp_path, protocol):
    write = python2_batch if protocol == "python 2" else lambda *batch: pickled_batch(*batch, protocol)
    if protocol == "python 2":  # that it is what Python 2 wrote: the plain unpickler reads it
        plain = pickle.loads(python2_batch(*TRUTH["test_batch"]), encoding="bytes")
        np.testing.assert_array_equal(plain[b"data"], planes(TEST_IMAGES))
    assert_whole(archives.read(cifar10.PUBLISHED, write_python(tmp_path, write)))


def test_keys_may_be_text_and_arrays_in_column_order(tmp_path):
    def write(images, labels):
        return pickle.dumps({"data": np.asfortranarray(planes(images)), "labels": labels.astype(np.uint8)}, protocol=4)

    assert_whole(archives.read(cifar10.PUBLISHED, write_python(tmp_path, write)))


class Hostile:
    """Unpickles, where names are trusted, by calling `call` with `arguments`."""

    def __init__(self, call, *arguments):
        self.reduced = call, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickle_that_names_code_is_refused_and_never_runs(tmp_path, protocol):
    folder, ran = write_python(tmp_path), tmp_path / "ran"
    hostile = pickle.dumps({b"data": Hostile(os.mkdir, str(ran)), b"labels": [1]}, protocol)
    (folder / "data_batch_3").write_bytes(hostile)
    assert_refused(tmp_path, "data_batch_3", "mkdir")
    assert not ran.exists()
    pickle.loads(hostile)  # that it would have run
    assert ran.exists()


def test_pickle_that_forges_pointers_with_numpy_is_refused(tmp_path):
    folder = write_python(tmp_path)
    # NumPy makes an array of Python objects from any eight bytes; the first access to one of them crashes.
    forged = pickle.dumps({b"data": Hostile(np.ndarray, (1,), "O", b"12345678"), b"labels": [1]}, 2)
    (folder / "data_batch_1").write_bytes(forged)
    assert_refused(tmp_path, "data_batch_1")


def test_deeply_nested_key_of_a_pickle_is_refused_and_does_not_crash(tmp_path):
    (write_python(tmp_path) / "data_batch_1").write_bytes(b"\x80\x02}(" + b")" + b"\x85" * 200_000 + b"K\x01u.")
    assert_refused(tmp_path, "data_batch_1", "a key is not text")


def test_labels_of_the_other_byte_order_are_the_same_labels(tmp_path):
    def write(images, labels):
        return pickle.dumps({"data": planes(images), "labels": labels.astype(">i2")}, protocol=2)

    assert_whole(archives.read(cifar10.PUBLISHED, write_python(tmp_path, write)))


def broken_batch(**change):
    content = {"data": planes(TEST_IMAGES), "labels": TEST_LABELS.tolist(), **change}
    return pickle.dumps({key: value for key, value in content.items() if value is not None}, protocol=3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (broken_batch(labels=[0, 1, 2, 3, 4, 5, 10]), ["0..9", "0..10"]),
        (broken_batch(labels=[0, 1, 2, 3, 4, 5, -1]), ["0..9", "-1..5"]),
        (broken_batch(labels=[1, 2]), ["7 integers", "[2]"]),
        (broken_batch(labels=["cat"] * 7), ["integers"]),
        (broken_batch(labels=None), ["labels"]),
        (broken_batch(data=planes(TEST_IMAGES)[:, 1:]), ["[N, 3072]", "[7, 3071]"]),
        (broken_batch(data=planes(TEST_IMAGES).astype(np.float32)), ["uint8", "float32"]),
        (broken_batch(data=[1, 2]), ["uint8", "int64 [2]"]),
        (broken_batch(data=np.array(7, np.uint8)), ["[N, 3072]", "[]"]),
        (broken_batch(data=np.zeros((0, 3072), np.uint8), labels=[]), ["[N, 3072]", "[0, 3072]"]),
        (broken_batch()[:-100], ["pickled"]),
        (pickle.dumps([1, 2]), ["pickled dict"]),
        (b"not a pickle", ["pickled"]),
        (b"", ["pickled"]),
    ],
)
def test_pickled_batch_with_a_fault_is_refused_by_name(tmp_path, content, words):
    (write_python(tmp_path) / "test_batch").write_bytes(content)
    assert_refused(tmp_path, "test_batch", *words)
    assert not (tmp_path / "cifar10").exists()
