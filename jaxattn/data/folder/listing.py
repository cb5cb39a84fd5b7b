"""Which files of a folder are images, and of which class and split."""

import collections
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxattn.data.folder.labels_csv import FILE as LABELS
from jaxattn.data.folder.labels_csv import read_labels
from jaxattn.data.image_file import SUFFIXES
from jaxattn.errors import InputError

TEST = ("test", "val", "valid", "validation")
_LEFT_OUT = frozenset((
    *("__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found", "system volume information"),
    *("thumbs.db", "desktop.ini"),
))  # fmt: skip


class Image(NamedTuple):
    """An image file: its path, the name of its class, and its split; None if that is to be drawn."""

    path: Path
    label: str
    split: str | None


class Listing(NamedTuple):
    """What a folder holds: images in the order of their paths, and what was left out."""

    images: list[Image]
    notes: tuple[str, ...]


def list_images(root: Path) -> Listing:
    """The images of a folder, in any of the three layouts.

    Raises:
        InputError: if it has none of these layouts, or a class lacks images.
        OSError: if it cannot be read.
    """
    others: collections.Counter[str] = collections.Counter()
    if (root / LABELS).is_file():
        images = [Image(*row) for row in read_labels(root)]
    else:
        images = list(_images_in_folders(root, others))
    check(root, images)
    notes = []
    if others:
        kinds = ", ".join(f"{count:,} {suffix or 'none'}" for suffix, count in others.most_common(5))
        notes.append(f"{sum(others.values()):,} files of {root.name} were skipped because of their endings: {kinds}")
    return Listing(sorted(images, key=lambda image: os.fspath(image.path)), tuple(notes))


def _images_in_folders(root: Path, others: collections.Counter[str]) -> Iterator[Image]:
    """The images of a folder of folders; the endings of other files are counted.

    Raises:
        InputError: if there is no folder of a class, or one has no images.
    """
    for split, part in _splits(root).items():
        folders = {folder: list(_files(root, folder, others)) for folder in _folders(part)}
        if not folders:
            raise InputError(
                f"{part} has no class folders; expected CLASS/*, train/CLASS/* and test/CLASS/*, or {LABELS}",
                "dataset",
            )
        empty = [folder for folder, files in folders.items() if not files]
        if empty:
            raise InputError(f"{empty[0]} holds no image{more(empty)}; add some, or delete the folder", "dataset")
        for folder, files in folders.items():
            yield from (Image(path, folder.name, split) for path in files)


def _splits(root: Path) -> dict[str | None, Path]:
    """The folder of each split; for None, the root itself, if it holds the classes.

    Raises:
        InputError: if there is a folder train, but none for the test images.
    """
    folders = {path.name.lower(): path for path in _folders(root)}
    test = next((folders[name] for name in TEST if name in folders), None)
    if "train" in folders and test:
        return {"train": folders["train"], "test": test}
    if list(folders) == ["train"]:
        raise InputError(
            f"{root} has a folder train and none of {', '.join(TEST)}; add one, or name {folders['train']}, from which "
            "a test set is drawn",
            "dataset",
        )
    return {None: root}


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LEFT_OUT


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not _is_left_out(path.name))


def _files(root: Path, folder: Path, others: collections.Counter[str]) -> Iterator[Path]:
    """The images in a folder and in those within it; the endings of other files are counted.

    Raises:
        InputError: if a link leads out of the root.
    """
    home = root.resolve()
    for path in sorted(folder.iterdir()):
        if _is_left_out(path.name):
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise InputError(f"{path} is a link that leaves {root}; put the file itself there, or delete the link")
        if path.is_dir():
            if not path.is_symlink():  # links may form a cycle
                yield from _files(root, path, others)
        elif path.suffix.lower() in SUFFIXES:
            yield path
        else:
            others[path.suffix.lower()] += 1


def check(root: Path, images: Sequence[Image]) -> None:
    """Checks that there are two classes or more, with training and test images of each.

    Raises:
        InputError: if there are not.
    """
    if not images:
        raise InputError(f"{root} holds no image; add some, or name another folder", "dataset")
    counts = collections.Counter(image.label for image in images)
    if len(counts) < 2:
        raise InputError(f"{root} must hold 2 classes or more, it holds only {next(iter(counts))!r}", "dataset")
    if images[0].split:
        train = collections.Counter(image.label for image in images if image.split == "train")
        unknown = sorted(counts.keys() - train.keys())
        if unknown:
            raise InputError(
                f"the class {unknown[0]!r} of {root} has test images and no training images{more(unknown)}; add some, "
                "or delete it",
                "dataset",
            )
        if train.total() == len(images):
            raise InputError(f"{root} holds training images only; add test images", "dataset")
    single = sorted(label for label, count in counts.items() if count < 2)
    if single:
        raise InputError(
            f"the class {single[0]!r} of {root} has only one image, it needs two{more(single)}; add some, or delete it",
            "dataset",
        )


def more(names: Collection[object]) -> str:
    """How many there are besides the first, in brackets; an empty text if there is only one."""
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
