"""Exclusive locks on folders, for run folders and for the data folder while it is prepared."""

import contextlib
import functools
import logging
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module elsewhere

_LOG = logging.getLogger("jaxattn")


@contextlib.contextmanager
def exclusive_lock(folder: Path, wait: bool = False) -> Iterator[None]:
    """Keeps other processes that ask for the same lock out of a folder while the context lasts.

    The folder itself is locked: no lock file is left behind, and a killed process releases it. Where the file system
    has no locks (some NFS mounts, Google Drive), nothing is locked, and the log says so once.

    Args:
        folder: must exist.
        wait: whether to wait for a process that holds the lock.

    Raises:
        BlockingIOError: where another process holds the lock and `wait` is False.
        OSError: where the folder cannot be opened.
    """
    if fcntl is None:
        _warn_once("this system")
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:
            _warn_once(f"the file system of {folder}")
        yield
    finally:
        os.close(handle)


@functools.cache
def _warn_once(what):
    _LOG.warning("%s cannot lock folders: do not start two processes in one of them at once", what)
