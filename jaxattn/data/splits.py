"""Labelled images, split into train and test, and a validation split held out of train."""

import dataclasses
import functools
import hashlib
import math
from typing import Any

import numpy as np
from jaxtyping import Integer

from jaxattn.data.spec import Spec
from jaxattn.errors import InputError

PARTS = ("train", "test")


class Rows:
    """Some rows [M, ...] of an array [N, ...] that may be in a file; they are read on access."""

    def __init__(self, array: np.ndarray, rows: Integer[np.ndarray, " M"]):
        """Takes the array and indices [M] into it."""
        self._array, self._rows = array, rows
        self.shape, self.dtype, self.ndim = (len(rows), *array.shape[1:]), array.dtype, array.ndim

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> np.ndarray:
        return self._array[self._rows[index]]


@dataclasses.dataclass(frozen=True)
class Split:
    """Labelled images.

    Attributes:
        images: uint8 [N, H, W, 3], RGB, 0-255; `Rows` if they are read on access.
        labels: int32 [N], indices into the data set's classes.
        masks: bool [N, H, W], True on the object; None if the data set has no masks.

    Raises:
        InputError: if a shape or a dtype differs.
    """

    images: Any  # np.ndarray or `Rows`, as `__post_init__` checks
    labels: np.ndarray
    masks: np.ndarray | None = None

    def __post_init__(self):
        if self.images.ndim != 4 or self.images.shape[-1] != 3 or self.images.dtype != np.uint8:
            raise InputError(f"images must be uint8 [N, H, W, 3], got {self.images.dtype} {list(self.images.shape)}")
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != np.int32:
            raise InputError(
                f"labels must be int32 [{len(self.images)}], got {self.labels.dtype} {list(self.labels.shape)}"
            )
        if self.masks is not None and (self.masks.shape != self.images.shape[:3] or self.masks.dtype != np.bool_):
            raise InputError(
                f"masks must be bool {list(self.images.shape[:3])}, got {self.masks.dtype} {list(self.masks.shape)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Integer[np.ndarray, " M"]) -> "Split":
        """The examples at `indices` [M], in that order."""
        masks = None if self.masks is None else self.masks[indices]
        if isinstance(self.images, Rows):
            return Split(self.images[indices], self.labels[indices], masks)
        # mode="raise" would go through a buffer; indexing the labels already refuses an index out of range.
        labels, images = self.labels[indices], _aligned((len(indices), *self.images.shape[1:]))
        return Split(np.take(self.images, indices, axis=0, out=images, mode="wrap"), labels, masks)

    def view(self, indices: Integer[np.ndarray, " M"]) -> "Split":
        """The examples at `indices` [M], without masks; images are read on access."""
        return Split(Rows(self.images, indices), self.labels[indices])


@dataclasses.dataclass(frozen=True)
class Splits:
    """The images of a data set: its two published splits.

    Attributes:
        spec: the data set's facts; its numbers of images are replaced by those of the splits.
        train, test: the splits.

    Raises:
        InputError: if a split is empty, has images of another shape, or a label is not in 0..K-1.
    """

    spec: Spec
    train: Split
    test: Split

    def __post_init__(self):
        name, classes = self.spec.name, len(self.spec.classes)
        for part in PARTS:
            split = getattr(self, part)
            if not len(split):
                raise InputError(f"{name}: the {part} split must hold at least one image, it holds none")
            if split.images.shape[1:] != self.spec.image_shape:
                raise InputError(
                    f"{name}: {part} images must be {list(self.spec.image_shape)}, found {list(split.images.shape[1:])}"
                )
            low, high = split.labels.min(), split.labels.max()
            if low < 0 or high >= classes:
                raise InputError(
                    f"{name}: {part} labels must lie in 0..{classes - 1}, found {low}..{high}; "
                    "the files are damaged or belong to another data set"
                )
        counts = {part: len(getattr(self, part)) for part in PARTS}
        object.__setattr__(self, "spec", dataclasses.replace(self.spec, **counts))

    @functools.cached_property
    def _digest(self):
        sha = hashlib.sha256()
        for split in (self.train, self.test):
            sha.update(np.ascontiguousarray(split.images).data)
            sha.update(np.ascontiguousarray(split.labels.astype("<i4")).data)
        return sha.hexdigest()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes [K]."""
        return self.spec.classes

    def digest(self) -> str:
        """SHA-256 (hex) over the bytes of all images and labels: equal digests mean equal data in equal order."""
        return self._digest


def _aligned(shape):
    """An empty array of bytes, aligned to 64: on a CPU, JAX uses such memory directly, and copies any other."""
    size = math.prod(shape)
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].reshape(shape)


def hold_out(split: Split, count: int, seed: int, lazy: bool = False) -> tuple[Split, Split]:
    """Holds `count` examples out of `split`, stratified: every class in proportion, to within one example.

    Args:
        split: [N] examples.
        count: how many to hold out, 0..N-1.
        seed: chooses which.
        lazy: whether the images that are kept are read on access; else they are copied into memory.

    Returns:
        The [N - count] examples that are kept and the [count] held out, both in their original order.

    Raises:
        InputError: if `count` is out of range.
    """
    total = len(split)
    if not 0 <= count < total:
        raise InputError(f"validation must hold 0..{total - 1} of the {total} training images, got {count}")
    is_held_out = np.zeros(total, bool)
    is_held_out[stratified(split.labels, count, seed)] = True
    kept, held_out = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    return split.view(kept) if lazy else split.take(kept), split.take(held_out)


def stratified(labels: Integer[np.ndarray, " N"], count: int, seed: int) -> Integer[np.ndarray, " M"]:
    """The indices int [count] of a stratified sample, every class in proportion; it starts with the smaller samples.

    Args:
        labels: int [N].
        count: how many, 0..N.
        seed: chooses which.
    """
    # Examples are put in random order within their class, and each gets its relative position in that order. The
    # examples with the `count` lowest positions over all classes are a stratified sample.
    order = np.random.default_rng(seed).permutation(len(labels))
    position = np.empty(len(labels))
    for label in range(labels.max() + 1):
        members = order[labels[order] == label]
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(position, kind="stable")[:count]
