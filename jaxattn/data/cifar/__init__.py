"""What CIFAR-10 and CIFAR-100 have in common: where their images are found, and how they are read."""

import atexit
import contextlib
import os
import subprocess
import sys
from pathlib import Path

from jaxattn.data import cache, download, tfds
from jaxattn.data.cifar import archives
from jaxattn.data.cifar.published import Published
from jaxattn.data.dataset import Dataset
from jaxattn.data.splits import Splits
from jaxattn.errors import InputError
from jaxattn.paths import local_path

LARGE = 1 << 24  # bytes: less is read sooner than a process starts
_READING: dict[Path, subprocess.Popen[bytes]] = {}  # the process that reads each folder into the cache


def dataset(published: Published) -> Dataset:
    """The data set: from a prepared TFDS folder, an archive or the folder it unpacks to, or downloaded."""
    return Dataset(
        published.spec,
        load=lambda data_dir: load(published, data_dir),
        find=lambda data_dir: find(published, data_dir),
        prepare=lambda data_dir: prepare(published, data_dir),
        origin=f"not on this machine; would be downloaded from {published.remote.url}",
    )


def load(published: Published, data_dir: Path) -> Splits:
    """The images from what `find` finds; if nothing, the archive is downloaded into the folder first.

    Each source gives the same images in the same order.

    Args:
        published: which of the two data sets.
        data_dir: a folder, created if missing; or itself a TFDS folder, an unpacked folder or an archive.

    Raises:
        UnavailableError: if there are no images and they cannot be downloaded.
        InputError: if the data is damaged or is another data set, or a download was interrupted.
    """
    data_dir = local_path(data_dir, "data_dir")
    name = published.spec.name
    other = archives.DATASETS.get(data_dir.name, name)
    if other != name:
        raise InputError(f"{data_dir} holds the data set {other}, not {name}; choose another folder", "data_dir")
    remotes = {published.versions[0].archive: published.remote}
    path = find(published, data_dir) or download.obtain(
        data_dir, name, remotes, lambda: find(published, data_dir), [version.archive for version in published.versions]
    )
    if process := _READING.pop(path.absolute(), None):
        process.wait()
    return keep(published, path)


def keep(published: Published, path: Path) -> Splits:
    """The images of what `find` found: from the cache, or read and then kept there.

    Args:
        published: which of the two data sets.
        path: a prepared TFDS folder, an unpacked folder or an archive.

    Raises:
        InputError: if they are damaged, or of another data set.
    """
    key, is_tfds = _key(path), tfds.is_prepared(path)

    def read(allocate: cache.Allocate | None = None) -> Splits:
        return tfds.read(path, published.spec) if is_tfds else archives.read(published, path)

    return cache.cached(key, read) if key else read()


def prepare(published: Published, data_dir: Path) -> None:
    """Starts to read a large TFDS folder that is not in the cache, and imports TFDS.

    The import is needed if that fails: `load` then reads the folder itself, perhaps in a thread, and while TFDS is
    being imported, it replaces Python's import in all threads.

    Args:
        published: which of the two data sets.
        data_dir: as in `load`.
    """
    path = find(published, local_path(data_dir, "data_dir").absolute())
    if path is not None and tfds.is_prepared(path) and cache.spec_of(_key(path) or "") is None:
        _start_reading(published.spec.name, path)
        tfds.import_all(path)


def _start_reading(name: str, path: Path) -> None:
    """Starts a process that reads a folder into the cache: a thread would wait for the interpreter lock."""
    size = sum(file.stat().st_size for file in path.iterdir())
    if path in _READING or (os.cpu_count() or 1) < 2 or size < LARGE:
        return
    modules = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # the same as here
    command, none = [sys.executable, "-P", "-m", __name__, name, os.fspath(path)], subprocess.DEVNULL
    with contextlib.suppress(OSError):
        _READING[path] = subprocess.Popen(command, env=os.environ | modules, stdin=none, stdout=none, stderr=none)
        atexit.register(_READING[path].kill)  # if this process ends before `load` has waited for it


def _key(path: Path) -> str | None:
    """The name of the entry in the cache; None if a file is a broken link, which reading will report."""
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    try:
        return cache.key(files)
    except OSError:
        return None


def find(published: Published, data_dir: Path) -> Path | None:
    """What there is to read: `data_dir` itself, or in it a TFDS folder, an unpacked folder or an archive; else None."""
    if data_dir.is_file():
        return data_dir
    if folder := tfds.find(data_dir, published.spec.name):
        return folder
    if any((data_dir / name).is_file() for name in published.files.values()):
        return data_dir
    names = [version.folder for version in published.versions] + [version.archive for version in published.versions]
    return next((data_dir / name for name in names if (data_dir / name).exists()), None)
