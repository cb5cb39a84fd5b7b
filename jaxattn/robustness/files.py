"""Untrusted NumPy arrays and columns of CSV files, checked before they take memory."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxattn.array_file import map_npy
from jaxattn.errors import InputError, first_line
from jaxattn.limits import TEXT, read_bytes, whole_number

MAX_BYTES = 1 << 30  # of an array; those of CIFAR-10-C have 154 million


def read_array(
    path: Path, setting: str, kinds: str, shape: Sequence[int | None], itemsize: int | None = None
) -> np.ndarray:
    """A memory-mapped NumPy array.

    Args:
        path, setting: the file, and the argument that names it.
        kinds: the kinds of numbers that it may hold, as in NumPy's `dtype.kind`.
        shape: the shape that it must have; None stands for any length.
        itemsize: bytes per number; None for any.

    Raises:
        InputError: if it cannot be read, or is of another type or shape, or empty.
    """
    try:
        array = map_npy(path, MAX_BYTES)
    except Exception as error:  # NumPy raises many types
        reason = getattr(error, "strerror", None) or first_line(error) or type(error).__name__
        raise InputError(f"cannot read {path} as a NumPy array: {reason}; choose another", setting) from error
    fits = len(array.shape) == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
    if array.dtype.kind not in kinds or itemsize not in (None, array.dtype.itemsize) or not fits or not array.size:
        wanted = "uint8" if itemsize else "numbers" if "f" in kinds else "integers"
        lengths = ", ".join("M" if one is None else str(one) for one in shape)
        raise InputError(f"{path} must be {wanted} [{lengths}], it is {array.dtype} {list(array.shape)}", setting)
    return array


def check_range(path: Path, values: np.ndarray, limit: int, name: str, setting: str) -> None:
    """Checks that the values [M] called `name` lie in 0..limit - 1; `setting` is the argument that names the file.

    Raises:
        InputError: if one does not.
    """
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= limit:
        raise InputError(f"{path}: {name} must lie in 0..{limit - 1}, found {low}..{high}", setting)


def read_columns(path: Path, names: Sequence[str], setting: str) -> list[np.ndarray]:
    """Columns of whole numbers, int64 [M] each, of a CSV file that the argument `setting` names.

    Raises:
        InputError: if it cannot be read, lacks a column, or a line holds anything else; the message names the line.
    """
    rule = f"a CSV file with the columns {', '.join(names)}, whole numbers"
    try:
        lines = csv.DictReader(io.StringIO(read_bytes(path, TEXT).decode("utf-8-sig"), newline=""))
        missing = [name for name in names if name not in (lines.fieldnames or ())]
        if missing:
            raise InputError(f"{path} must be {rule}; it lacks {missing[0]}", setting)
        rows = []
        for line in lines:
            try:
                rows.append([np.int64(whole_number(line[name])) for name in names])
            except (TypeError, ValueError, OverflowError) as error:  # also for a line that is too short
                raise InputError(f"{path}, line {lines.line_num}: it must be {rule}", setting) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} must be {rule}; it cannot be read: {reason}", setting) from error
    if not rows:
        raise InputError(f"{path} must be {rule}; it has no line", setting)
    return list(np.array(rows).T)
