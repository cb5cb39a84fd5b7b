"""Images as memory-mapped arrays in the cache folder, so that only the first start reads a data set's files.

An entry is named by a digest of its files' names, sizes and times, so a changed, added or removed file makes a new one.
The most recently used entries are kept, as many as the limit allows: `JAXATTN_CACHE_LIMIT`, in gigabytes. Another
process can still use deleted files that it has mapped.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxattn.data.spec import Spec
from jaxattn.data.splits import PARTS, Split, Splits
from jaxattn.errors import InputError
from jaxattn.runtime import cache_folder

LIMIT = "JAXATTN_CACHE_LIMIT"
DEFAULT_LIMIT = 20.0  # gigabytes
FORMAT = 2
ABOUT = "about.json"
_MARGIN = 1 << 28  # bytes that are left free on the disk
_HOUR = 3600
Allocate = Callable[[str, tuple[int, ...]], np.ndarray]


class Entry(NamedTuple):
    """A data set in the cache.

    Attributes:
        path: its folder.
        spec: of the data set.
        size: in bytes.
        used: when it was last used, in seconds since 1970.
    """

    path: Path
    spec: Spec
    size: int
    used: float


def folder() -> Path:
    """The folder of all entries."""
    return cache_folder() / "data"


def limit() -> int:
    """The most bytes that all entries may have together.

    Raises:
        InputError: if the environment variable is not a number of gigabytes, 0 or more.
    """
    text = os.environ.get(LIMIT) or DEFAULT_LIMIT
    try:
        size = float(text) * 1e9
    except ValueError:
        size = math.nan
    if not (math.isfinite(size) and size >= 0):
        raise InputError(f"{LIMIT} must be gigabytes, 0 or more, got {text!r}")
    return int(size)


def key(files: Iterable[Path], about: str = "") -> str:
    """The name of the entry for images that are read from files.

    Args:
        files: all files that are read.
        about: what else the images depend on, such as their size.

    Raises:
        OSError: if a file is missing.
    """
    sha = hashlib.sha256(f"{FORMAT} {about}".encode())
    for path in files:
        state = path.stat()
        sha.update(
            f"\0{path}\0{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}".encode(errors="surrogateescape")
        )
    return sha.hexdigest()[:32]


def spec_of(name: str) -> Spec | None:
    """The facts of a data set whose images are cached; None if they are not."""
    try:
        return _about(folder() / name)[0]
    except (OSError, RuntimeError, ValueError):  # RuntimeError: there is no home directory
        return None


def cached(name: str, read: Callable[[Allocate], Splits]) -> Splits:
    """The data set that `read` returns, from the cache if it was read before.

    If the cache cannot be read or written, or has no room, the images are in memory.

    Args:
        name: of the entry (`key`).
        read: reads the files. Its argument is a function from a split's name and a shape [N, H, W, 3] to a uint8 array,
            which it may use for the images. Masks are not cached.
    """
    try:
        entry = folder() / name
    except RuntimeError:  # no home directory
        return read(_in_memory)
    if splits := _load(entry):
        with contextlib.suppress(OSError):
            os.utime(entry)
        return splits
    splits = None
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix="incomplete.", dir=entry.parent))
    except OSError:
        return read(_in_memory)
    try:
        splits = read(lambda part, shape: _allocate(draft, part, shape))
        _save(draft, splits)
        shutil.rmtree(entry, ignore_errors=True)  # an entry that could not be read
        draft.rename(entry)
        clear(limit(), keep=entry)
    except OSError:
        if splits is None:  # the data itself could not be read
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return splits


def _in_memory(part: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.empty(shape, np.uint8)


def _allocate(draft: Path, part: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array in a file with reserved disk space: writing without space would kill the process."""
    path, size = draft / f"{part}_images.npy", math.prod(shape)
    try:
        if size > min(limit(), shutil.disk_usage(draft).free - _MARGIN):
            return _in_memory(part, shape)
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return array
    except OSError:
        path.unlink(missing_ok=True)
        return _in_memory(part, shape)


def _about(entry: Path) -> tuple[Spec, str]:
    """The spec that an entry states, and its digest of images and labels.

    Raises:
        OSError, ValueError: if it cannot be read.
    """
    try:
        values = json.loads((entry / ABOUT).read_text())
        return Spec.from_json(values["spec"]), str(values["digest"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _load(entry: Path) -> Splits | None:
    """What an entry holds; None if it is missing, damaged or cannot be read."""
    try:
        spec, digest = _about(entry)
        parts = {
            part: Split(*(np.load(entry / f"{part}_{name}.npy", mmap_mode="r") for name in ("images", "labels")))
            for part in PARTS
        }
        splits = Splits(spec, **parts)
        return splits if splits.digest() == digest else None
    except Exception:  # NumPy raises many types for damaged files
        return None


def _save(draft: Path, splits: Splits) -> None:
    """Writes the parts of a data set that are not written yet.

    Raises:
        OSError: if it cannot be written, or would be larger than the limit.
    """
    if sum(getattr(splits, part).images.nbytes for part in PARTS) > limit():
        raise OSError("the cache is too small")
    with ThreadPoolExecutor(1) as pool:
        digest = pool.submit(splits.digest)  # reading all images takes as long as writing them
        for part in PARTS:
            split, path = getattr(splits, part), draft / f"{part}_images.npy"
            if isinstance(split.images, np.memmap) and Path(split.images.filename or "") == path:
                split.images.flush()
            else:
                np.save(path, split.images)
            np.save(draft / f"{part}_labels.npy", split.labels)
    (draft / ABOUT).write_text(json.dumps({"spec": splits.spec.to_json(), "digest": digest.result()}))


def entries() -> list[Entry]:
    """What the cache holds, most recently used first."""
    some = []
    with contextlib.suppress(OSError, RuntimeError):
        for path in folder().iterdir():
            with contextlib.suppress(OSError, ValueError):
                size = sum(file.stat().st_size for file in path.iterdir())
                some.append(Entry(path, _about(path)[0], size, path.stat().st_mtime))
    return sorted(some, key=lambda entry: -entry.used)


def clear(most: int = 0, keep: Path | None = None) -> int:
    """Deletes the least recently used entries until the others have at most `most` bytes.

    Args:
        most: bytes.
        keep: an entry that stays.

    Returns:
        How many were deleted.
    """
    total, deleted = 0, 0
    known = entries()
    for entry in sorted(known, key=lambda entry: entry.path != keep):
        total += entry.size
        if total > most and entry.path != keep:
            shutil.rmtree(entry.path, ignore_errors=True)
            total -= entry.size
            deleted += 1
    with contextlib.suppress(OSError, RuntimeError):
        for path in set(folder().iterdir()) - {entry.path for entry in known}:
            with contextlib.suppress(OSError):  # a file, or another process was faster
                latest = max(one.stat().st_mtime for one in (path, *path.iterdir()))  # its files alone grow
                if time.time() - latest > _HOUR:  # left by killed processes and other versions
                    shutil.rmtree(path, ignore_errors=True)
    return deleted
