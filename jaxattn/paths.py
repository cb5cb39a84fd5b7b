"""Paths that users give: folders and files of this machine."""

import os
import re
from pathlib import Path

from jaxattn.errors import InputError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")  # two letters or more: a drive of Windows has one


def local_path(path: str | os.PathLike[str], setting: str | None = None) -> Path:
    """A path of this machine; `~` is the home.

    Args:
        path: as it was given.
        setting: the argument that gave it.

    Raises:
        InputError: where it is an address, such as "gs://bucket/runs": it would become a local folder of that name.
    """
    text = os.fspath(path)
    if scheme := _SCHEME.match(text):
        address = f"{scheme[1]}://{text[scheme.end() :]}"  # of which `Path` merges the slashes
        raise InputError(
            f"{address} is an address, and only paths of this machine can be used; mount it, or copy it here", setting
        )
    return Path(os.path.expanduser(text))
