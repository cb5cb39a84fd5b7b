"""Accuracies that other programs measured, from a CSV file."""

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jaxattn.comparison.variants import MAX_NAME
from jaxattn.errors import InputError
from jaxattn.limits import TEXT, read_bytes, whole_number

MAX_COMPARED = 200  # variants, and seeds of each: memory grows with both
COLUMNS = ("variant", "seed", "accuracy")


def read_csv(path: Path) -> dict[str, dict[int, float]]:
    """Accuracy (fraction) by variant and seed.

    Args:
        path: a file with the columns variant, seed and accuracy in any order and case, separated by commas, semicolons
            or tabs; other columns are ignored. Accuracies are all fractions, or all percent.

    Raises:
        InputError: if it cannot be read, or a line is invalid; the message names the line.
    """
    accuracies: dict[str, dict[int, float]] = {}
    try:
        content = read_bytes(path, TEXT)
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        lines = list(_lines(path, content.decode("utf-16" if wide else "utf-8-sig")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot read {path}: {reason}; give a CSV file with the columns {', '.join(COLUMNS)}"
        ) from error
    is_percent = any(line.accuracy > 1 or line.is_marked for line in lines)
    for number, variant, seed, accuracy, is_marked in lines:
        by_seed = accuracies.setdefault(variant, {})
        if seed in by_seed:
            raise InputError(f"{path}, line {number}: seed {seed} of {variant} appears twice")
        if is_percent and 0 < accuracy <= 1 and not is_marked:
            rule = "accuracies must be all fractions or all percent"
            raise InputError(f"{path}, line {number}: {rule}, got {accuracy:g} among percent")
        by_seed[seed] = accuracy / 100 if is_percent else accuracy
        if len(accuracies) > MAX_COMPARED or len(by_seed) > MAX_COMPARED:
            raise InputError(f"{path}, line {number}: there may be at most {MAX_COMPARED} variants and as many seeds")
    if len(accuracies) < 2:
        raise InputError(f"{path} must hold at least 2 variants, it holds {len(accuracies)}")
    return accuracies


class _Line(NamedTuple):
    number: int
    variant: str
    seed: int
    accuracy: float
    is_marked: bool  # as percent


def _lines(path: Path, text: str) -> Iterator[_Line]:
    blank = len(text) - len(text.lstrip("\r\n"))
    skipped, text = text[:blank].count("\n"), text[blank:]
    header = text.partition("\n")[0]
    separator = max(",;\t", key=lambda one: sum(cell.strip().lower() in COLUMNS for cell in header.split(one)))
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    names = reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    if any(names.count(name) != 1 for name in COLUMNS):
        got = f"got {header.strip()[:200]!r}"
        raise InputError(f"{path}, line {1 + skipped}: columns must be {', '.join(COLUMNS)}, each once, {got}")
    for line in reader:
        number = reader.line_num + skipped
        if None in line:
            raise InputError(
                f"{path}, line {number}: it has more cells than columns; quote cells that contain {separator!r}"
            )
        cells = [(line[name] or "").strip() for name in COLUMNS]
        if not any(cells):
            continue
        try:
            text_of = cells[2].removesuffix("%")
            variant, seed, accuracy = cells[0], whole_number(cells[1]), float(text_of.replace(",", "."))
            if not 0 < len(variant) <= MAX_NAME or not variant.isprintable():
                raise ValueError
            if not (-(2**63) <= seed < 2**63 and 0 <= accuracy <= 100):
                raise ValueError
        except ValueError as error:
            raise InputError(
                f"{path}, line {number}: it must hold a variant (at most {MAX_NAME} characters), a seed (a whole "
                "number of 64 bits) and an accuracy (a fraction from 0 to 1, or percent), "
                f"got {', '.join(cells)[:200]!r}"
            ) from error
        yield _Line(number, variant, seed, accuracy, cells[2].endswith("%"))
