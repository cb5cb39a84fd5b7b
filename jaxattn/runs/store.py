"""The small files of a run folder, `metrics.jsonl` and `result.json`; each is written whole or not at all."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxattn.errors import InputError

METRICS = ("epoch", "train_loss", "train_accuracy", "learning_rate")  # of every line
MONITORED = ("val_loss", "val_accuracy")  # of every line or of none
RESULT = (
    "test_loss",
    "test_accuracy",
    "best_epoch",
    "tested_epoch",
    "epochs",
    "monitored",
    "dataset",
    "versions",
    "device",
)


def read_metrics(folder: Path, epochs: int) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl` for epochs 1..`epochs`; lines that a killed process wrote beyond them are ignored.

    Raises:
        InputError: where lines are missing or damaged.
    """
    path = folder / "metrics.jsonl"
    try:
        metrics = [json.loads(line) for line in path.read_text().splitlines()[:epochs]]
        for line in metrics:
            _check(line, METRICS)
            if metrics[0].keys() & set(MONITORED):
                _check(line, MONITORED)
        if [line["epoch"] for line in metrics] != list(range(1, epochs + 1)):
            raise ValueError(f"it must have a line for each of the {epochs} epochs")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}; start a new run") from error
    return metrics


def write_metrics(folder: Path, metrics: list[dict[str, Any]]) -> None:
    """Writes `metrics.jsonl`."""
    write_text(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in metrics))


def read_result(folder: Path) -> dict[str, Any] | None:
    """The contents of `result.json`; None where the run has not finished.

    Raises:
        InputError: where it is damaged.
    """
    path = folder / "result.json"
    try:
        if not path.exists():
            return None
        result = json.loads(path.read_text())
        _check(result, RESULT)
        return result
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is damaged: {error}; delete it and resume the run, which writes it again", "resume", folder
        ) from error


def _check(values: Any, names: Iterable[str]) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"it must hold objects, found {values!r:.40}")
    missing = [name for name in names if name not in values]
    if missing:
        raise ValueError(f"{missing[0]!r} is missing")
    for name in names:
        if name.endswith(("loss", "accuracy", "rate")) and not isinstance(values[name], int | float):
            raise ValueError(f"{name!r} must be a number, found {values[name]!r:.40}")


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes a JSON file."""
    write_text(path, json.dumps(values, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file; characters that UTF-8 does not have become question marks."""
    write_bytes(path, text.encode(errors="replace"))


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file, whole or not at all: it is written beside its name and renamed."""
    draft = path.with_name(path.name + ".part")
    draft.write_bytes(data)
    os.replace(draft, path)
