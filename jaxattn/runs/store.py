"""The small files of a run folder, `metrics.jsonl` and `result.json`; each is written atomically."""

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jaxattn.errors import InputError
from jaxattn.limits import TEXT, parse_json, read_bytes, read_json

METRICS = ("epoch", "train_loss", "train_accuracy", "learning_rate")  # in every line
DIGEST = "digest"  # of everything else in a file that has one
MONITORED = ("val_loss", "val_accuracy")  # in every line or in none
RESULT = (
    "test_loss",
    "test_accuracy",
    "best_epoch",
    "tested_epoch",
    "epochs",
    "monitored",
    "dataset",
    "dataset_hash",
    "seconds",
    "parameters",
    "versions",
    "device",
)


def read_metrics(folder: Path, epochs: int) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl` for epochs 1..`epochs`; lines that a killed process wrote beyond them are ignored.

    Raises:
        InputError: if lines are missing or damaged.
    """
    path = folder / "metrics.jsonl"
    try:
        metrics = [parse_json(line) for line in read_bytes(path, TEXT).splitlines()[:epochs]]
        for line in metrics:
            _check(line, METRICS)
            if metrics[0].keys() & set(MONITORED):
                _check(line, MONITORED)
        if len(metrics) != epochs or any(line["epoch"] != number for number, line in enumerate(metrics, 1)):
            raise ValueError(f"it must have a line for each of the {epochs} epochs")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}; start a new run") from error
    return metrics


def write_metrics(folder: Path, metrics: list[dict[str, Any]]) -> None:
    """Writes `metrics.jsonl`."""
    write_text(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in metrics))


def read_result(folder: Path) -> dict[str, Any] | None:
    """The contents of `result.json`; None if the run has not finished.

    Raises:
        InputError: if it is damaged.
    """
    path = folder / "result.json"
    try:
        if not path.exists():
            return None
        result = read_json(path)
        _check(result, RESULT)
        if result["tested_epoch"] > result["epochs"]:
            raise ValueError(f"tested_epoch must be one of {result['epochs']}, found {result['tested_epoch']}")
        if result.pop(DIGEST, None) not in (None, _digest(result)):  # earlier versions wrote none
            raise ValueError("it was changed since it was written")
        return result
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is damaged: {error}; delete it and resume the run, which writes it again", "resume", folder
        ) from error


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Writes `result.json`, with a digest of it."""
    write_json(folder / "result.json", {**result, DIGEST: _digest(result)})


def _check(values: Any, names: Iterable[str]) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"it must hold objects, found {values!r:.40}")
    missing = [name for name in names if name not in values]
    if missing:
        raise ValueError(f"{missing[0]!r} is missing")
    for name, value in values.items():
        rule = next((text for text, pattern, holds in _RULES if pattern.fullmatch(name) and not holds(value)), None)
        if rule:
            raise ValueError(f"{name!r:.40} must be {rule}, found {value!r:.40}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# What values with these names must be, in any file.
_RULES: tuple[tuple[str, re.Pattern[str], Callable[[Any], bool]], ...] = (
    ("a number", re.compile(".*(_accuracy|_rate|_share)"), _is_number),
    (
        "a number, 0 or more",
        re.compile(".*_(loss|error)|seconds|images_per_second"),
        lambda value: _is_number(value) and value >= 0,
    ),
    (
        "a fraction from 0 to 1",
        re.compile(".*_accuracy(_with_flips(_and_shifts)?)?"),
        lambda value: _is_number(value) and 0 <= value <= 1,
    ),
    (
        "a whole number above 0",
        re.compile(".*epochs?|parameters|test_images"),
        lambda value: type(value) is int and value > 0,
    ),
    (
        "a list of whole numbers",
        re.compile(".*_by_class"),
        lambda value: isinstance(value, list) and all(type(one) is int and one >= 0 for one in value),
    ),
    ("text", re.compile("dataset|dataset_hash|device"), lambda value: isinstance(value, str)),
    ("text or null", re.compile("monitored"), lambda value: value is None or isinstance(value, str)),
    (
        "an object of texts",
        re.compile("versions"),
        lambda value: isinstance(value, dict) and all(isinstance(one, str) for one in value.values()),
    ),
)


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes a JSON file."""
    write_text(path, json.dumps(values, indent=2) + "\n")


def write_sealed(path: Path, values: dict[str, Any]) -> None:
    """Writes a JSON file of measurements, with a digest of them."""
    write_json(path, {DIGEST: _digest(values), **values})


def read_sealed(path: Path) -> dict[str, Any]:
    """The contents of a file that `write_sealed` wrote.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it holds anything but what was written.
    """
    values = read_json(path)
    if not isinstance(values, dict) or values.pop(DIGEST, None) != _digest(values):
        raise ValueError("its digest is of other contents")
    return values


def _digest(values):
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes a text file; characters that UTF-8 cannot encode become question marks."""
    write_bytes(path, text.encode(errors="replace"))


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file atomically: under a name that no other process uses, then it is renamed."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        draft.write_bytes(data)
        os.replace(draft, path)
    except BaseException:  # Ctrl-C, too
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
