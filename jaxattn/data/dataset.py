"""A data set: one of `DATASETS`, a folder of images, or a user's own."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import final

from jaxattn.data.spec import Spec
from jaxattn.data.splits import Splits


def _nothing(data_dir: Path) -> None:
    """The `prepare` of a data set that needs none; it takes the data folder, a path."""


def nowhere(data_dir: Path) -> Path | None:
    """The `find` of a data set without files in the data folder, a path: None."""
    return None


@final
@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set: what it is, and how it is read.

    Attributes:
        spec: what is known about it before it is read; None if that is not enough to compile a program.
        load: from a data folder, which it may create, to the images. The `spec` that it returns may have other numbers
            of images. It raises `UnavailableError` if the images are not on this machine and cannot be downloaded, and
            `InputError` if they cannot be used.
        find: from a data folder (a path) to the file or folder that `load` would read; None if there is none, and it
            would have to be downloaded.
        prepare: called once or twice with the data folder, a path, in the calling thread, before `load` is called in
            another one: it may start reading, and imports what must not be imported while other threads import.
        origin: where the images come from, which `jaxattn data` prints if `find` returns None.
    """

    spec: Spec | None
    load: Callable[[Path], Splits]
    find: Callable[[Path], Path | None] = nowhere
    origin: str = "your own"
    prepare: Callable[[Path], None] = _nothing
