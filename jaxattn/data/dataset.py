"""A data set by its name: one of `DATASETS`, a folder of images, or one of the reader's own."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import final

from jaxattn.data.spec import Spec
from jaxattn.data.splits import Splits


def _nothing(data_dir: Path) -> None:
    """For a data set in a data folder, a path, that needs no preparation."""


def nowhere(data_dir: Path) -> Path | None:
    """None: there is no file of it in the data folder, a path."""
    return None


@final
@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set: what it is, and how it is read.

    Attributes:
        spec: what is known of it before it is read; None if that is not enough to compile a program.
        load: from a data folder, which it may create, to the images. The `spec` of what it gives may have other
            numbers of images. It raises `UnavailableError` where the images are neither here nor to be had, and
            `InputError` where they cannot be used.
        find: from a data folder (a path) to the file or folder that `load` would read; None if there is none, and it
            would have to be downloaded.
        prepare: called with the data folder, a path, in the calling thread, before `load` is called in another one,
            once or twice: it may start to read, and imports what may not be imported while other threads import.
        origin: what `jaxattn data` says where `find` gives None: where the images come from.
    """

    spec: Spec | None
    load: Callable[[Path], Splits]
    find: Callable[[Path], Path | None] = nowhere
    origin: str = "your own"
    prepare: Callable[[Path], None] = _nothing
