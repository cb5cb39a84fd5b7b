"""Facts about CIFAR-10's test images by their official order, which is checked."""

import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Integer, Num

from jaxattn.data.splits import Split
from jaxattn.errors import InputError
from jaxattn.paths import local_path
from jaxattn.robustness.files import check_range, read_array, read_columns

OFFICIAL = "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5"  # SHA-256 of the test labels as bytes
AGREEMENT = 0.95  # minimum agreement of people with the given labels; in CIFAR-10H it is 0.9921
CLASSES = 10


def check_order(name: str, test: Split, setting: str) -> None:
    """Checks that a test set is that of CIFAR-10 in its official order.

    Args:
        name: name of the data set.
        test: its test images.
        setting: the argument that needs them.

    Raises:
        InputError: if it is not.
    """
    if name != "cifar10":
        raise InputError(
            f"these images or labels are for networks trained on cifar10, the runs' data set is {name}", setting
        )
    if hashlib.sha256(test.labels.astype(np.uint8).tobytes()).hexdigest() != OFFICIAL:
        raise InputError(
            "the runs' test images are not CIFAR-10's in their official order (their labels differ)", setting
        )


def read_duplicates(path: str | Path, test: Split) -> Integer[np.ndarray, " M"]:
    """The test images int [M] that have a near-duplicate among the training images, in ciFAIR's format.

    Columns TestID and Judgment (0: exact, 1: nearly, 2: similar); others are ignored.

    Raises:
        InputError: if the file cannot be read, or an index is none of the test images `test`.

    Source: arXiv:1902.00423.
    """
    file, setting = local_path(path, "duplicates"), "duplicates"
    rows, judgment = read_columns(file, ("TestID", "Judgment"), setting)
    check_range(file, rows, len(test), "TestID", setting)
    check_range(file, judgment, 3, "Judgment", setting)
    return np.unique(rows)


def read_label_errors(path: str | Path, test: Split) -> Integer[np.ndarray, " M"]:
    """The test images int [M] whose label is doubtful.

    Columns test_index and label (the given one); others are ignored.

    Raises:
        InputError: if the file cannot be read, an index is none of the test images `test`, or a label is not theirs.

    Source: arXiv:2103.14749.
    """
    file, setting = local_path(path, "label_errors"), "label_errors"
    rows, labels = read_columns(file, ("test_index", "label"), setting)
    check_range(file, rows, len(test), "test_index", setting)
    if (differ := np.flatnonzero(test.labels[rows] != labels)).size:
        row, label = rows[differ[0]], labels[differ[0]]
        raise InputError(
            f"{file}: label must be that of the test image, {test.labels[row]} of image {row}, found {label}", setting
        )
    return np.unique(rows)


def read_people(path: str | Path, test: Split) -> Num[np.ndarray, "N K"]:
    """How often people gave each label to each test image [N, K], such as CIFAR-10H's counts.

    Raises:
        InputError: if the file cannot be read, has another type or shape, holds a row without a label, or people's
            most frequent labels are not those of `test`: it is about other images, or in another order.

    Source: arXiv:1908.07086.
    """
    file, setting = local_path(path, "people"), "people"
    counts = np.array(read_array(file, setting, "iuf", (len(test), CLASSES)), np.float64)
    if not (np.isfinite(counts).all() and counts.min() >= 0 and counts.sum(axis=1).min() > 0):
        raise InputError(f"{file} must hold counts, none below 0, and a label at least for each image", setting)
    agreement = float(np.mean(counts.argmax(axis=1) == test.labels))
    if agreement < AGREEMENT:
        raise InputError(
            f"{file}: people's most frequent label must be the given one for {AGREEMENT:.0%} of the test images, it is "
            f"for {agreement:.2%}; it is of other images, or in another order",
            setting,
        )
    return counts
