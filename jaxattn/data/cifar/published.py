"""How the two CIFAR data sets are published."""

import dataclasses
from typing import final

from jaxattn.data import download
from jaxattn.data.spec import Spec

SIDE = 32  # pixels


@final
@dataclasses.dataclass(frozen=True)
class Version:
    """One of the two ways in which a data set is published.

    Attributes:
        archive: name of the packed file.
        folder: the folder that it unpacks to.
        suffix: of the batch files in it.
    """

    archive: str
    folder: str
    suffix: str


@final
@dataclasses.dataclass(frozen=True)
class Published:
    """How one of the two data sets is published.

    Attributes:
        spec: its facts.
        versions: the binary and the python one.
        train, test: names of the batches.
        labels: label bytes before the pixels of an image in the binary version; the last one is used.
        key: of the labels in the python version.
        remote: the archive to download.
    """

    spec: Spec
    versions: tuple[Version, Version]
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: int
    key: str
    remote: download.Remote

    @property
    def files(self) -> dict[str, str]:
        """The names of the batch files without their folder, by their names with it."""
        return {
            f"{version.folder}/{batch}{version.suffix}": batch + version.suffix
            for version in self.versions
            for batch in (*self.train, *self.test)
        }
