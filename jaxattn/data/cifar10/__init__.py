"""CIFAR-10: from a prepared TFDS folder, an original archive, or the network."""

import contextlib
import logging
from pathlib import Path

from jaxattn.data import decoded, download, prefetch, tfds
from jaxattn.data.cifar10 import archives
from jaxattn.data.splits import Splits
from jaxattn.errors import UnavailableError
from jaxattn.lock import FILE as LOCK
from jaxattn.lock import exclusive_lock
from jaxattn.paths import local_path

_LOG = logging.getLogger("jaxattn")

#: The archive to download where the data folder has no CIFAR-10.
ARCHIVE = download.Remote(
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    size=170_052_171,
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
_VERSION = "3.0.2"


def load(data_dir: Path) -> Splits:
    """CIFAR-10 from the first of these that exists; each gives the same images in the same order.

    1. A prepared TFDS folder, `data_dir/cifar10/<version>`.
    2. An original archive or the folder it unpacks to, in `data_dir`.
    3. The archive downloaded into `data_dir`.

    Data from 2 and 3 is also written as a TFDS folder, so the next call reads 1.

    Args:
        data_dir: a folder, created if missing; or itself a TFDS folder, an unpacked folder or an archive. If it is an
            archive, that is read every time and nothing is written beside it.

    Raises:
        UnavailableError: where there is no CIFAR-10 and it cannot be downloaded.
        InputError: where the data is damaged or is not CIFAR-10, or a download was interrupted.
    """
    data_dir = local_path(data_dir, "data_dir")
    if data_dir.is_file():
        return archives.read(data_dir)
    if folder := tfds.find(data_dir, "cifar10"):
        return _read(folder)
    is_new = not data_dir.exists()
    with contextlib.ExitStack() as locks:
        with contextlib.suppress(OSError):  # a folder that cannot be created or locked may still be readable
            data_dir.mkdir(parents=True, exist_ok=True)
            locks.enter_context(exclusive_lock(data_dir, wait=True))
        try:
            return _prepare(data_dir)
        except UnavailableError:
            if is_new:
                with contextlib.suppress(OSError):
                    (data_dir / LOCK).unlink(missing_ok=True)
                    data_dir.rmdir()
            raise


def begin(data_dir: Path) -> None:
    """Begins what `load` does, in a process of its own, if `data_dir` holds a prepared TFDS folder."""
    if folder := tfds.find(data_dir, "cifar10"):
        prefetch.begin(folder, __name__)


def _read(folder):
    return decoded.cached(folder, lambda: tfds.read(folder, size=32, classes=10))


def _prepare(data_dir):
    """Reads or downloads CIFAR-10 and writes the TFDS folder. The caller's lock lets one process at a time do this."""
    if folder := tfds.find(data_dir, "cifar10"):
        return _read(folder)
    source = archives.find(data_dir)
    if source is None:
        source = data_dir / archives.ARCHIVES[0]
        _LOG.info("downloading %s to %s", ARCHIVE.url, source)
        try:
            download.fetch(ARCHIVE, source)
        except UnavailableError as error:
            names = " or ".join(archives.ARCHIVES)
            raise UnavailableError(
                f"no CIFAR-10 in {data_dir}, and {error}; put {names} there, or choose the data set shapes", "data_dir"
            ) from error
    splits = archives.read(source)
    folder = data_dir / "cifar10" / _VERSION
    _LOG.info("preparing %s as a TFDS data set in %s, once", source, folder)
    try:
        tfds.write(folder, splits)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        _LOG.warning("could not prepare %s (%s): the images are used from memory", folder, reason)
    return splits
