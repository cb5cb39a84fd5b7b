"""Paths that users give: folders and files on this machine."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from jaxattn.errors import InputError, shortened

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")  # two letters or more: a Windows drive has one


def local_path(path: str | os.PathLike[str], setting: str | None = None) -> Path:
    """A path on this machine; `~` is the home folder.

    Args:
        path: as it was given.
        setting: the argument that gave it.

    Raises:
        InputError: if it is an address, such as "gs://bucket/runs", which would become a local folder of that name;
            or the system does not accept the path, or denies access to it.
    """
    text = os.fspath(path)
    if scheme := _SCHEME.match(text):
        address = f"{scheme[1]}://{text[scheme.end() :]}"  # `Path` would merge the slashes
        raise InputError(
            f"{address} is an address, and only paths of this machine can be used; mount it, or copy it here", setting
        )
    local = Path(os.path.expanduser(text))
    try:
        os.lstat(local)
    except (FileNotFoundError, NotADirectoryError):
        pass  # left to what reads, writes or creates it
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{shortened(text)} cannot be used as a path: {reason}; choose another one", setting
        ) from error
    return local


@contextlib.contextmanager
def readable(path: str | os.PathLike[str], setting: str) -> Iterator[None]:
    """Within this context, a file or folder that cannot be read is an error of the argument that names it.

    Args:
        path: what is read, if the system's error does not say.
        setting: the argument.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"cannot read {error.filename or path!s:.300}: {reason}; choose another folder", setting
        ) from error
