"""Accuracies that other programs measured, from a CSV file."""

import csv
import io
from pathlib import Path

from jaxattn.comparison import MARGIN
from jaxattn.comparison.result import Result
from jaxattn.comparison.verdict import judge
from jaxattn.errors import InputError
from jaxattn.limits import TEXT, read_bytes
from jaxattn.paths import local_path

MAX_COMPARED = 200  # variants, and seeds of each: memory grows with both


def of_csv(path: str | Path, planned: int | None = None, baseline: str | None = None, margin: float = MARGIN) -> Result:
    """Judges numbers that other programs made.

    Args:
        path: a CSV file with columns variant, seed, accuracy (a fraction).
        planned: number of seeds that were planned; by default, each variant is judged with those that it has.
        baseline: name of a variant; by default the first.
        margin: in points; a smaller difference counts as none.

    Raises:
        InputError: where the file cannot be read as such.
    """
    accuracies = read_csv(local_path(path))
    looks = () if planned is None else (planned,)
    return Result(judge(accuracies, baseline or next(iter(accuracies), ""), looks, margin=margin), None, {})


def read_csv(path: Path) -> dict[str, dict[int, float]]:
    """Accuracy (fraction) by variant and seed.

    Args:
        path: of the file, with columns variant, seed, accuracy.

    Raises:
        InputError: where it cannot be read, or a line holds anything else; it names the line.
    """
    accuracies: dict[str, dict[int, float]] = {}
    try:
        text = read_bytes(path, TEXT).decode("utf-8-sig")
        for number, line in enumerate(csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True), 2):
            try:
                variant, seed, accuracy = _parse_line(line)
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(
                    f"{path}, line {number}: columns must be variant, seed (a whole number of 64 bits) and accuracy (a "
                    f"fraction from 0 to 1), got {str(dict(line))[:200]}"
                ) from error
            if seed in accuracies.setdefault(variant, {}):
                raise InputError(f"{path}, line {number}: seed {seed} of {variant} is there twice")
            accuracies[variant][seed] = accuracy
            if len(accuracies) > MAX_COMPARED or len(accuracies[variant]) > MAX_COMPARED:
                raise InputError(
                    f"{path}, line {number}: there may be at most {MAX_COMPARED} variants and as many seeds"
                )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot read {path}: {reason}; give a CSV file with the columns variant, seed and accuracy"
        ) from error
    return accuracies


def _parse_line(line: dict[str, str]) -> tuple[str, int, float]:
    """Variant, seed and accuracy of a line.

    Raises:
        KeyError, TypeError, ValueError: where one is missing or is not what it must be.
    """
    variant, seed, accuracy = line["variant"], int(line["seed"]), float(line["accuracy"])
    if not (variant.isprintable() and -(2**63) <= seed < 2**63 and 0 <= accuracy <= 1):
        raise ValueError
    return variant, seed, accuracy
