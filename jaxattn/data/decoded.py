"""Decoded data sets in the cache folder, as memory-mapped arrays: decoding 60,000 PNGs takes seconds at every start."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jaxattn.data import prefetch
from jaxattn.data.announce import announce, kept, later
from jaxattn.data.splits import Split, Splits
from jaxattn.runtime import cache_folder

KEPT = 2  # data sets; older ones are deleted
_PARTS = ("train", "test")


def cached(folder: Path, read: Callable[[], Splits]) -> Splits:
    """The data set that `read` decodes from the files in a folder, or the cache of it if they were decoded before.

    An entry is named by a digest of the files' names and contents, so it cannot be out of date. Where the cache cannot
    be read or written, the files are decoded. Within a run, the entry is written once the training step is compiled.

    Args:
        folder: whose files are the source.
        read: decodes them; masks are not cached.
    """
    prefetched = prefetch.finish(folder)
    try:
        entry = prefetched or cache_folder() / "data" / _digest(folder)
    except (OSError, RuntimeError):  # no home directory
        return read()
    splits, digest = _load(entry, is_checked=prefetched is not None) or (None, None)
    if splits is not None:
        announce(len(splits.classes), splits.train.images.shape[1:], len(splits.train))
        if splits.digest() == digest:
            with contextlib.suppress(OSError):
                os.utime(entry)
            kept(entry)
            return splits
    splits = read()

    def save():
        try:
            _save(entry, splits)
            _delete_old(entry.parent)
        except OSError:
            return
        kept(entry)

    later(save)
    return splits


def _digest(folder):
    sha = hashlib.sha256(b"1")  # the format of an entry
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        with path.open("rb") as file:
            sha.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()};".encode())
    return sha.hexdigest()[:32]


def _load(entry: Path, is_checked: bool) -> tuple[Splits, str] | None:
    """What an entry holds, and the digest that it should have; None where it is missing or cannot be read."""
    try:
        about = json.loads((entry / "about.json").read_text())
        parts = {
            part: Split(*(np.load(entry / f"{part}_{name}.npy", mmap_mode="r") for name in ("images", "labels")))
            for part in _PARTS
        }
        known = about["digest"] if is_checked else None
        return Splits(about["name"], tuple(about["classes"]), **parts, known_digest=known), about["digest"]
    except Exception:  # NumPy raises many types for damaged files
        return None


def _save(entry, splits):
    entry.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix="incomplete.", dir=entry.parent))
    try:
        with ThreadPoolExecutor(1) as pool:
            digest = pool.submit(splits.digest)  # reading all images takes as long as writing them
            for part in _PARTS:
                split = getattr(splits, part)
                np.save(draft / f"{part}_images.npy", split.images)
                np.save(draft / f"{part}_labels.npy", split.labels)
        about = {"name": splits.name, "classes": splits.classes, "digest": digest.result()}
        (draft / "about.json").write_text(json.dumps(about))
        shutil.rmtree(entry, ignore_errors=True)  # one that could not be read
        draft.rename(entry)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _delete_old(folder):
    entries = sorted(
        (path for path in folder.iterdir() if "." not in path.name), key=lambda path: path.stat().st_mtime, reverse=True
    )
    left = [path for path in folder.glob("incomplete.*") if time.time() - path.stat().st_mtime > 3600]  # by killed ones
    for path in entries[KEPT:] + left:
        shutil.rmtree(path, ignore_errors=True)
