"""CIFAR-10: from a prepared TFDS folder, an original archive, or the network."""

import contextlib
import logging
from pathlib import Path

from jaxattn.data import archive, download, prepared
from jaxattn.data.splits import Splits
from jaxattn.errors import UnavailableError
from jaxattn.lock import alone_in

_LOG = logging.getLogger("jaxattn")

#: The archive to download where nothing lies in the data folder.
ARCHIVE = download.Remote(
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    size=170_052_171,
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
_VERSION = "3.0.2"


def load(data_dir: Path) -> Splits:
    """CIFAR-10 from the first of these that is there; the same pictures in the same order from each.

    1. A prepared TFDS folder, `data_dir/cifar10/<version>`.
    2. An original archive or the folder it unpacks to, in `data_dir`.
    3. The archive downloaded into `data_dir`.

    What 2 and 3 give is prepared as a TFDS folder on the way, so the next call is served by 1.

    Args:
        data_dir: a folder, made if missing; or itself a TFDS folder, an unpacked folder or an archive. An archive
            that is named is read every time and nothing is written beside it.

    Raises:
        UnavailableError: where nothing is there and the network gives nothing either.
        InputError: where what is there is damaged or something else, or a download broke off.
    """
    if data_dir.is_file():
        return archive.read(data_dir)
    if folder := prepared.find(data_dir, "cifar10"):
        return prepared.read(folder, size=32, classes=10)
    is_new = not data_dir.exists()
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # a folder that cannot be made or locked may still be read
            data_dir.mkdir(parents=True, exist_ok=True)
            held.enter_context(alone_in(data_dir, wait=True))
        try:
            return _prepare(data_dir)
        except UnavailableError:
            if is_new:
                with contextlib.suppress(OSError):
                    data_dir.rmdir()
            raise


def _prepare(data_dir):
    """What two runs that are started together must not do at once; the second finds what the first has made."""
    if folder := prepared.find(data_dir, "cifar10"):
        return prepared.read(folder, size=32, classes=10)
    source = archive.find(data_dir)
    if source is None:
        source = data_dir / archive.ARCHIVES[0]
        _LOG.info("downloading %s to %s", ARCHIVE.url, source)
        try:
            download.fetch(ARCHIVE, source)
        except UnavailableError as error:
            names = " or ".join(archive.ARCHIVES)
            raise UnavailableError(
                f"no CIFAR-10 in {data_dir}, and {error}; put {names} there, or use --dataset shapes"
            ) from error
    splits = archive.read(source)
    folder = data_dir / "cifar10" / _VERSION
    _LOG.info("preparing %s as a TFDS data set in %s, once", source, folder)
    try:
        prepared.write(folder, splits)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        _LOG.warning("could not prepare %s (%s): the pictures are used from memory", folder, reason)
    return splits
