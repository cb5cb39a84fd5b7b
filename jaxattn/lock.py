"""Folders that one process at a time may be at work in."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def alone_in(folder: Path, wait: bool = False) -> Iterator[None]:
    """Keeps other processes that ask for the folder out of it, where the file system locks folders (NFS does not).

    The folder itself is locked: nothing is left in it, and a killed process holds it no longer.

    Args:
        folder: which must exist.
        wait: for a process that is in it.

    Raises:
        BlockingIOError: where one is, and it is not waited for.
        OSError: where the folder cannot be opened.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:  # a file system that locks no folders
            pass
        yield
    finally:
        os.close(handle)
