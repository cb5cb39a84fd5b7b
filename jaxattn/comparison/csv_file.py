"""Accuracies that other programs measured, from a CSV file."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jaxattn.errors import InputError
from jaxattn.limits import TEXT, read_bytes

MAX_COMPARED = 200  # variants, and seeds of each: memory grows with both
COLUMNS = ("variant", "seed", "accuracy")


def read_csv(path: Path) -> dict[str, dict[int, float]]:
    """Accuracy (fraction) by variant and seed.

    Args:
        path: of the file: columns variant, seed and accuracy in any order and case, others are left alone, separated by
            commas, semicolons or tabs. Accuracies are all fractions, or all percent.

    Raises:
        InputError: where it cannot be read, or a line holds anything else; it names the line.
    """
    accuracies: dict[str, dict[int, float]] = {}
    try:
        lines = list(_lines(path, read_bytes(path, TEXT).decode("utf-8-sig")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot read {path}: {reason}; give a CSV file with the columns {', '.join(COLUMNS)}"
        ) from error
    is_percent = any(line.accuracy > 1 for line in lines)
    for number, variant, seed, accuracy in lines:
        by_seed = accuracies.setdefault(variant, {})
        if seed in by_seed:
            raise InputError(f"{path}, line {number}: seed {seed} of {variant} is there twice")
        if is_percent and 0 < accuracy <= 1:
            rule = "accuracies must be all fractions or all percent"
            raise InputError(f"{path}, line {number}: {rule}, got {accuracy:g} among percent")
        by_seed[seed] = accuracy / 100 if is_percent else accuracy
        if len(accuracies) > MAX_COMPARED or len(by_seed) > MAX_COMPARED:
            raise InputError(f"{path}, line {number}: there may be at most {MAX_COMPARED} variants and as many seeds")
    return accuracies


class _Line(NamedTuple):
    number: int
    variant: str
    seed: int
    accuracy: float


def _lines(path: Path, text: str) -> Iterator[_Line]:
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    if not set(COLUMNS) <= set(reader.fieldnames):
        raise InputError(f"{path}, line 1: columns must be {', '.join(COLUMNS)}, got {header.strip()[:200]!r}")
    for line in reader:
        cells = [(line[name] or "").strip() for name in COLUMNS]
        try:
            number = cells[2].removesuffix("%")
            accuracy = float(number if separator == "," else number.replace(",", "."))
            variant, seed = cells[0], int(cells[1])
            if not (variant and variant.isprintable() and -(2**63) <= seed < 2**63 and 0 <= accuracy <= 100):
                raise ValueError
        except ValueError as error:
            raise InputError(
                f"{path}, line {reader.line_num}: it must hold a variant, a seed (a whole number of 64 bits) and an "
                f"accuracy (a fraction from 0 to 1, or percent), got {', '.join(cells)[:200]!r}"
            ) from error
        yield _Line(reader.line_num, variant, seed, accuracy)
