"""Images for networks that were trained on CIFAR-10, read from the files that their authors published."""

from pathlib import Path

import numpy as np
from jaxtyping import Integer

from jaxattn.data import cache
from jaxattn.data.splits import Split
from jaxattn.errors import InputError
from jaxattn.paths import local_path
from jaxattn.robustness.corruptions import SEVERITIES
from jaxattn.robustness.files import check_range, read_array
from jaxattn.robustness.official import CLASSES
from jaxattn.robustness.view import View, digest

VERSIONS = ("v6", "v4")  # of CIFAR-10.1


def read_corruptions(path: str | Path, test: Split, rows: Integer[np.ndarray, " M"]) -> list[View]:
    """CIFAR-10-C: for each file `CORRUPTION.npy` in a folder, five views of the test images at `rows` int [M].

    A file is uint8 [5 N, H, W, 3], and `labels.npy` int [5 N]: N test images in each severity, one after another.

    Raises:
        InputError: if a file is missing, cannot be read, or is of another type or shape, or labels differ.

    Source: arXiv:1903.12261.
    """
    setting, folder = "cifar10_c", local_path(path, "cifar10_c")
    if not folder.is_dir():
        raise InputError(f"{folder} must be the folder of CIFAR-10-C; there is no such folder", setting)
    files = sorted(file for file in folder.glob("[!.]*.npy") if file.name != "labels.npy")
    if not files:
        raise InputError(f"{folder} must hold a file CORRUPTION.npy for each corruption, it holds none", setting)
    N, count = len(test), len(SEVERITIES)
    labels = read_array(folder / "labels.npy", setting, "iu", (count * N,))
    if not np.array_equal(labels, np.tile(test.labels, count)):
        raise InputError(f"{folder / 'labels.npy'} must hold the labels of the runs' test images five times", setting)
    views = []
    for file in files:
        images = read_array(file, setting, "u", (count * N, *test.images.shape[1:]), 1)
        source = cache.key([file])
        for severity in SEVERITIES:
            part = (severity - 1) * N + rows

            def load(images=images, part=part):
                return np.asarray(images[part]), test.labels[rows]

            views.append(View(f"C: {file.stem}", severity, len(rows), digest(source, part), load))
    return views


def read_new_images(path: str | Path, test: Split) -> list[View]:
    """CIFAR-10.1: a view for each version that a folder holds; `test` are the runs' own images.

    `cifar10.1_v6_data.npy` is uint8 [M, H, W, 3], `cifar10.1_v6_labels.npy` int [M]: 2,000 images; v4 has 2,021.

    Raises:
        InputError: if no version is there, or a file cannot be read, or is of another type or shape.

    Source: arXiv:1806.00451.
    """
    setting, folder, views = "cifar10_1", local_path(path, "cifar10_1"), []
    for version in VERSIONS:
        files = [folder / f"cifar10.1_{version}_{part}.npy" for part in ("data", "labels")]
        if not any(file.exists() for file in files):
            continue
        labels = read_array(files[1], setting, "iu", (None,))
        images = read_array(files[0], setting, "u", (len(labels), *test.images.shape[1:]), 1)
        check_range(files[1], labels, CLASSES, "labels", setting)

        def load(images=images, labels=labels):
            return np.array(images), np.asarray(labels, np.int32)

        views.append(View(f"CIFAR-10.1 {version}", 0, len(labels), digest(cache.key(files)), load))
    if not views:
        raise InputError(f"{folder} must hold cifar10.1_v6_data.npy and cifar10.1_v6_labels.npy, or v4's", setting)
    return views
