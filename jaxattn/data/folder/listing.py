"""Which files of a folder are images, and of which class and split."""

import collections
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxattn.data.folder.labels_csv import FILE as LABELS
from jaxattn.data.folder.labels_csv import SPLITS, read_labels
from jaxattn.data.image_file import SUFFIXES
from jaxattn.errors import InputError

OUTSIDE, UNUSED = "outside a class folder", "validation (unused)"
_SYSTEM = frozenset((
    *("__macosx", "network trash folder", "temporary items", "icon\r", "@eadir", "#recycle", "#snapshot", "~snapshot"),
    *("$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini", "lost+found"),
))  # fmt: skip


class Image(NamedTuple):
    """An image file: its path, the name of its class, and its split (train or test); None if that is to be drawn."""

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
    notes = []
    if (root / LABELS).is_file():
        images = [Image(*row) for row in read_labels(root)]
    else:
        images = list(_images_in_folders(root, others))
    if any(image.split == "test" for image in images):
        used = [image for image in images if image.split != "val"]
        if len(used) < len(images):
            notes.append(f"the {len(images) - len(used):,} validation images of {root.name} are not used")
        images = used
    else:
        images = [image._replace(split="test") if image.split == "val" else image for image in images]
    check(root, images, is_drawn=not any(image.split for image in images))
    if total := others.total():
        kinds = ", ".join(f"{count:,} {kind or 'without ending'}" for kind, count in (+others).most_common(5))
        number = "1 file or folder was" if total == 1 else f"{total:,} files or folders were"
        notes.append(f"{number} left out of {root.name}: {kinds}")
    return Listing(sorted(images, key=lambda image: os.fspath(image.path)), tuple(notes))


def _images_in_folders(root: Path, others: collections.Counter[str]) -> Iterator[Image]:
    """The images of a folder of folders; what else it holds is counted.

    Raises:
        InputError: if there is no folder of a class, or one has no images.
    """
    for split, part in _splits(root, others).items():
        folders = {folder: list(_files(root, folder, others)) for folder in _folders(root, part, others)}
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


def _splits(root: Path, others: collections.Counter[str]) -> dict[str | None, Path]:
    """The folder of each split; for None, the root itself, if it holds the classes.

    Raises:
        InputError: if there is a folder of class folders with the name of a split, but not both training and test
            images; or there are two folders of one split.
    """
    named = [(SPLITS.get(folder.name.lower()), folder) for folder in _folders(root, root, collections.Counter())]
    is_whole = {"train", "test"} <= {split for split, _ in named}
    splits: dict[str | None, Path] = {}
    for split, folder in named:
        if is_whole and split == "val":
            others[UNUSED] += 1
        elif split and splits.setdefault(split, folder) != folder:
            raise InputError(f"{root} has {splits[split].name} and {folder.name}; delete or rename one", "dataset")
    if "train" in splits and len(splits) > 1:
        others[OUTSIDE] += len(_entries(root, root, others)) - len(splits) - others[UNUSED]
        return splits
    for split, folder in splits.items():
        if _folders(root, folder, collections.Counter()):
            wanted = [name for name, other in SPLITS.items() if (other == "train") != (split == "train")]
            raise InputError(
                f"{root} has a folder {folder.name} of class folders and none of {', '.join(wanted)}; add one, or name "
                f"{folder}, from which a test set is drawn",
                "dataset",
            )
    return {None: root}


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM


def _folders(root: Path, parent: Path, others: collections.Counter[str]) -> list[Path]:
    """The folders in a folder; files beside them are counted."""
    entries = _entries(root, parent, others)
    folders = [path for path in entries if path.is_dir()]
    others[OUTSIDE] += len(entries) - len(folders)
    return folders


def _files(root: Path, folder: Path, others: collections.Counter[str]) -> Iterator[Path]:
    """The images in a folder and in those within it; the endings of other files are counted."""
    for path in _entries(root, folder, others):
        if path.is_dir():
            if path.is_symlink():  # links may form a cycle
                others["linked"] += 1
            else:
                yield from _files(root, path, others)
        elif path.suffix.lower() in SUFFIXES:
            yield path
        else:
            others[path.suffix.lower()] += 1


def _entries(root: Path, folder: Path, others: collections.Counter[str]) -> list[Path]:
    """What a folder holds, by name; what is hidden is counted.

    Raises:
        InputError: if a link leads out of the root.
    """
    paths = sorted(folder.iterdir())
    entries = [path for path in paths if not _is_hidden(path.name)]
    others["hidden"] += len(paths) - len(entries)
    home = os.path.realpath(root)
    for path in entries:
        is_read = path.is_dir() or path.suffix.lower() in SUFFIXES
        if is_read and path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
            raise InputError(
                f"{path} is a link that leaves {root}; put what it names there, or delete the link", "dataset"
            )
    return entries


def check(root: Path, images: Sequence[Image], is_drawn: bool) -> None:
    """Checks that there are two classes or more, each with training images, and that there are test images.

    Where the test set is drawn, each class needs one of its images for it. Elsewhere, a class may have none.

    Raises:
        InputError: if there are not.
    """
    if not images:
        raise InputError(f"{root} holds no image; add some, or name another folder", "dataset")
    counts = collections.Counter(image.label for image in images)
    if len(counts) < 2:
        raise InputError(f"{root} must hold 2 classes or more, it holds only {next(iter(counts))!r:.80}", "dataset")
    if images[0].split:
        train = collections.Counter(image.label for image in images if image.split == "train")
        unknown = sorted(counts.keys() - train.keys())
        if unknown:
            raise InputError(
                f"the class {unknown[0]!r:.80} of {root} has test images and no training images{more(unknown)}; add "
                "some, or delete it",
                "dataset",
            )
        if train.total() == len(images):
            raise InputError(f"{root} holds training images only; add test images", "dataset")
    if not is_drawn:
        return
    single = sorted(label for label, count in counts.items() if count < 2)
    if single:
        raise InputError(
            f"the class {single[0]!r:.80} of {root} has only one image, it needs two{more(single)}; add some, or "
            "delete it",
            "dataset",
        )


def more(names: Collection[object]) -> str:
    """How many there are besides the first, in brackets; an empty text if there is only one."""
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
