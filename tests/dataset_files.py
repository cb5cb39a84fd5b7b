"""A few images of every data set in the form in which it is published, and a data set of the reader's own."""

import gzip
import pickle
import struct
import tarfile

import numpy as np
import tiny
from cifar10_files import planes, write_binary
from scipy import io

from jaxattn.data import cifar100

OWN = tiny.dataset()
COUNTS = {"train": 40, "test": 20}


def pixels(part, *shape):
    return np.random.default_rng(len(part)).integers(0, 256, (COUNTS[part], *shape), np.uint8)


def labels(part, classes):
    return np.arange(COUNTS[part]) * 7 % classes


def write_cifar100(root, kind="binary", packed=False):
    """The archive or the folder of CIFAR-100, of either version; coarse labels differ from fine ones."""
    folder = root / f"cifar-100-{kind}"
    folder.mkdir(parents=True)
    groups = list(cifar100.SUPERCLASSES)
    for part in COUNTS:
        fine = labels(part, 100)
        coarse = np.array([groups.index(cifar100.SPEC.superclasses[i]) for i in fine])
        images = pixels(part, 32, 32, 3)
        if kind == "binary":
            rows = np.concatenate([np.stack([coarse, fine], 1).astype(np.uint8), planes(images)], 1)
            (folder / f"{part}.bin").write_bytes(rows.tobytes())
        else:
            batch = {b"data": planes(images), b"fine_labels": fine.tolist(), b"coarse_labels": coarse.tolist()}
            (folder / part).write_bytes(pickle.dumps(batch, 3))
    if packed:
        with tarfile.open(root / f"{folder.name}.tar.gz", "w:gz") as tar:
            tar.add(folder, folder.name)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def write_fashion_mnist(root, packed=True, named=True):
    """The four IDX files, packed with or without the names and times that gzip keeps, or not packed."""
    root.mkdir(parents=True, exist_ok=True)
    for part, name in (("train", "train"), ("test", "t10k")):
        for what, values in (("images-idx3", pixels(part, 28, 28)), ("labels-idx1", labels(part, 10).astype(np.uint8))):
            content = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()
            path = root / f"{name}-{what}-ubyte.gz"
            if not packed:
                path.with_suffix("").write_bytes(content)
                continue
            with (
                path.open("wb") as file,
                gzip.GzipFile(path.stem if named else "", "wb", 9, file, None if named else 0) as to,
            ):
                to.write(content)


def write_svhn(root):
    """The two files of MATLAB 5; label 10 means the digit 0."""
    root.mkdir(parents=True, exist_ok=True)
    for part in COUNTS:
        digits = labels(part, 10)
        values = {"X": pixels(part, 32, 32, 3).transpose(1, 2, 3, 0), "y": np.where(digits == 0, 10, digits)[:, None]}
        io.savemat(root / f"{part}_32x32.mat", values)


def write_cifar10(root):
    root.mkdir(parents=True, exist_ok=True)
    write_binary(root)


WRITE = {
    "cifar10": write_cifar10,
    "cifar100": write_cifar100,
    "fashion-mnist": write_fashion_mnist,
    "svhn": write_svhn,
    "shapes": lambda root: None,
    "dataset_files:OWN": lambda root: None,
}
