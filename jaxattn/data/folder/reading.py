"""The images of a folder, read and resized."""

import hashlib
import logging
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jaxattn.data import cache
from jaxattn.data.folder.listing import Image, Listing, check, more
from jaxattn.data.image_file import image_size, read_image
from jaxattn.data.spec import Spec
from jaxattn.data.splits import PARTS, Split, Splits
from jaxattn.errors import InputError, first_line

TEST_SHARE, TEST_SEED = 0.2, 0  # of each class, if a folder does not say which images are the test set
SAMPLE = 100  # images that are sampled to choose one size for all
MAX_THREADS = 4  # each may take 2 GB for an image of the most pixels and bytes (`image_file`)
_LOG = logging.getLogger("jaxattn")


def usual_size(images: Sequence[Image]) -> tuple[int, int]:
    """Height and width: 64, or 32 if most images have a side of fewer than 64 pixels."""
    some = images[:: math.ceil(len(images) / SAMPLE)]
    sides = [min(size) for image in some if (size := image_size(image.path))]
    return (32, 32) if sides and np.median(sides) < 64 else (64, 64)


def _draw_test(images: Sequence[Image]) -> list[Image]:
    """The images with their split: a fifth of each class, at least one and not all, is the test set."""
    rng = np.random.default_rng(TEST_SEED)
    by_class: dict[str, list[int]] = {}
    for i, image in enumerate(images):
        by_class.setdefault(image.label, []).append(i)
    test: set[int] = set()
    for label in sorted(by_class):
        members = by_class[label]
        test.update(
            rng.permutation(members)[: min(max(round(TEST_SHARE * len(members)), 1), len(members) - 1)].tolist()
        )
    return [image._replace(split="test" if i in test else "train") for i, image in enumerate(images)]


def read(root: Path, listing: Listing, size: tuple[int, int], skip_damaged: bool, allocate: cache.Allocate) -> Splits:
    """The images of a folder, each split in the order of their paths.

    Args:
        root: the folder.
        listing: of its images.
        size: height and width that they get, in pixels.
        skip_damaged: whether files that cannot be read are left out.
        allocate: gives the arrays (see `cache.cached`).

    Raises:
        InputError: if a file cannot be read and must not be left out, or a class is left with too few images.
    """
    images, notes = listing.images, list(listing.notes)
    parts: dict[str, tuple[np.ndarray, list[Image]]] = {}
    damaged: dict[Path, str] = {}
    _LOG.info("reading %s images of %s at %dx%d, once", f"{len(images):,}", root, *size)
    is_drawn = images[0].split is None
    if is_drawn:
        images = _draw_test(images)
        notes.append(f"the test set is a fifth of each class of {root.name}, drawn with seed {TEST_SEED}")
    threads = min(os.cpu_count() or 1, MAX_THREADS)
    with ThreadPoolExecutor(threads) as pool:  # Pillow decodes and resizes without the interpreter lock
        for part in PARTS:
            files = [image for image in images if image.split == part]
            pixels = allocate(part, (len(files), *size, 3))
            unread = _decode(pool, files, pixels)
            damaged |= unread
            kept = [image for image in files if image.path not in unread]
            parts[part] = pixels if not unread else pixels[[image.path not in unread for image in files]], kept
    if damaged and not skip_damaged:
        raise InputError(
            f"{damaged[min(damaged)]}{more(damaged)}; replace or delete it, or skip damaged files",
            "skip_damaged",
        )
    if damaged:
        count = "1 file" if len(damaged) == 1 else f"{len(damaged):,} files"
        notes.append(f"{count} of {root.name} that cannot be read {'was' if len(damaged) == 1 else 'were'} left out")
    check(root, [image for _, kept in parts.values() for image in kept], is_drawn)
    return _labelled(root.name, parts, notes)


def _labelled(name: str, parts: dict[str, tuple[np.ndarray, list[Image]]], notes: list[str]) -> Splits:
    classes = sorted({image.label for _, images in parts.values() for image in images})
    number = {label: i for i, label in enumerate(classes)}
    splits = {
        part: Split(pixels, np.array([number[image.label] for image in images], np.int32))
        for part, (pixels, images) in parts.items()
    }
    train, test = (splits[part].images for part in PARTS)
    if same := _in_both(train, test):
        notes.append(f"{same:,} of the {len(test):,} test images of {name} are also training images")
    lacking = [label for label in classes if number[label] not in set(splits["test"].labels.tolist())]
    if lacking:
        notes.append(f"the class {lacking[0]!r:.80} of {name} has no test images{more(lacking)}")
    mean, std = _moments(train)
    spec = Spec(
        name=name,
        classes=tuple(classes),
        image_shape=train.shape[1:],
        train=len(train),
        test=len(test),
        mean=mean,
        std=std,
        source=f"the folder {name}",
        notes=tuple(notes),
    )
    return Splits(spec, **splits)


def _decode(pool: ThreadPoolExecutor, images: Sequence[Image], into: np.ndarray) -> dict[Path, str]:
    """Reads images into an array [N, H, W, 3]; returns the reason for each that cannot be read, by path."""

    def one(i: int) -> str | None:
        try:
            into[i] = read_image(images[i].path, *into.shape[1:3])
        except InputError as error:
            return first_line(error)
        return None

    reasons = pool.map(one, range(len(images)))
    return {image.path: reason for image, reason in zip(images, reasons, strict=True) if reason}


def _in_both(train: np.ndarray, test: np.ndarray) -> int:
    """How many test images are also, byte for byte, training images."""

    def digests(images: np.ndarray) -> list[bytes]:
        return [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images]

    known = set(digests(train))
    return sum(digest in known for digest in digests(test))


def _moments(images: np.ndarray) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation of each channel over all pixels, in units of 0..1, of images [N, H, W, 3]."""
    counts = np.zeros((3, 256), np.int64)
    for start in range(0, len(images), 1000):
        block = images[start : start + 1000]
        counts += [np.bincount(block[..., channel].ravel(), minlength=256) for channel in range(3)]
    shares, values = counts / counts[0].sum(), np.arange(256) / 255
    mean = shares @ values
    std = np.sqrt(np.maximum(shares @ values**2 - mean**2, 0))
    red, green, blue = (round(float(value), 4) for value in mean)
    of_red, of_green, of_blue = (round(max(float(value), 1 / 255), 4) for value in std)  # a single grey value has none
    return (red, green, blue), (of_red, of_green, of_blue)
