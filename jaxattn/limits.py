"""Limits for untrusted files: their size is checked before they take memory.

These apply to the small files of runs and to weights; the readers of data sets and images have their own.
"""

import contextlib
import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from jaxattn.errors import InputError

TEXT = 8 << 20  # bytes of a JSON or CSV file; those of this package have a few thousand
WEIGHTS = 256 << 20  # bytes of a file of weights; the tutorial's network has 5 million
DEPTH = 50  # of nested objects and lists in a JSON file; those of this package have 3
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # Windows has none


def open_file(path: Path, limit: int) -> BinaryIO:
    """A regular file, opened to read bytes.

    Args:
        path: of the file.
        limit: bytes that it may have.

    Raises:
        InputError: if it has more, or is a device or a pipe, which may have no end.
        OSError: if it cannot be read.
    """
    with contextlib.ExitStack() as opened:
        # Without O_NONBLOCK, opening a pipe without a writer would block.
        file = opened.enter_context(open(path, "rb", opener=lambda name, flags: os.open(name, flags | _NONBLOCK)))
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise InputError(f"{path} must be a file, it is a device or a pipe; copy its contents into a file")
        if about.st_size > limit:
            raise InputError(f"{path} must have at most {limit:,} bytes, it has {about.st_size:,}; choose another file")
        opened.pop_all()
    return file


def read_bytes(path: Path, limit: int) -> bytes:
    """The contents of a regular file.

    Args:
        path: of the file.
        limit: bytes that it may have; no more are read.

    Raises:
        InputError: as `open_file`.
        OSError: if it cannot be read.
    """
    with open_file(path, limit) as file:
        return file.read(os.fstat(file.fileno()).st_size)  # not the limit: that much memory would be taken


def whole_number(text: str) -> int:
    """A whole number that is written in the digits 0 to 9; `int` also accepts "1_0", and digits of other scripts.

    Raises:
        ValueError: if it is not one.
    """
    if not re.fullmatch(r"\s*[+-]?[0-9]+\s*", text):
        raise ValueError(f"{text!r:.80} is not a whole number")
    return int(text)


def read_json(path: Path) -> Any:
    """The value in a JSON file; see `parse_json`.

    Raises:
        ValueError: as `parse_json`; an `InputError` if the file is larger than `TEXT`.
        OSError: if it cannot be read.
    """
    return parse_json(read_bytes(path, TEXT))


def read_toml(path: Path) -> dict[str, Any]:
    """The values in a TOML file in UTF-8.

    Raises:
        ValueError: if it is not TOML, or is nested too deep; an `InputError` if the file is larger than `TEXT`.
        OSError: if it cannot be read.
    """
    try:
        return tomllib.loads(read_bytes(path, TEXT).decode("utf-8-sig"))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def parse_json(content: str | bytes) -> Any:
    """The value in a JSON text in UTF-8, whose numbers and strings are safe to compute with, write and print.

    Raises:
        ValueError: if it is not JSON or is nested deeper than `DEPTH`; a number is not finite, or an integer does not
            fit into 64 bits; or a string holds a NUL or half of a surrogate pair.
    """
    too_deep = f"it is nested more than {DEPTH} deep"
    try:
        value = json.loads(content.decode("utf-8-sig") if isinstance(content, bytes) else content)
    except RecursionError as error:
        raise ValueError(too_deep) from error
    level = [value]
    for _ in range(DEPTH):
        for one in level:
            _check(one)
        level = [part for one in level if isinstance(one, dict | list) for part in _children(one)]
        if not level:
            return value
    raise ValueError(too_deep)


def _children(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return (*value, *value.values()) if isinstance(value, dict) else value


def _check(value: Any) -> None:
    if isinstance(value, str):
        value.encode()  # fails for half a surrogate pair
        if "\0" in value:
            raise ValueError(f"a string holds a NUL: {value!r:.40}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"numbers must be finite, found {value}")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"integers must fit into 64 bits, found one of {value.bit_length()}")
