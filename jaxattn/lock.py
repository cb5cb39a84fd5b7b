"""Exclusive locks on folders, for run folders and for the data folder while it is prepared."""

import contextlib
import errno
import functools
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import filelock

FILE = ".lock"  # in the folder; it stays there
_LOG = logging.getLogger("jaxattn")


@contextlib.contextmanager
def exclusive_lock(folder: Path, wait: bool = False) -> Iterator[None]:
    """Keeps other processes that ask for the same lock out of a folder while the context lasts.

    A killed process releases it. If the file system has no locks (some NFS mounts, Google Drive), nothing is locked,
    and the log says so once.

    Args:
        folder: must exist.
        wait: whether to wait for a process that holds the lock.

    Raises:
        BlockingIOError: if another process holds the lock and `wait` is False.
        OSError: if the folder cannot be written.
    """
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    lock = filelock.FileLock(folder / FILE, timeout=-1 if wait else 0, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise BlockingIOError(errno.EAGAIN, "another process holds the lock", str(folder)) from error
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
        _warn_once(folder)
    try:
        yield
    finally:
        lock.release()


@functools.cache
def _warn_once(folder):
    _LOG.warning("the file system of %s has no locks: do not start two processes in one folder of it at once", folder)
