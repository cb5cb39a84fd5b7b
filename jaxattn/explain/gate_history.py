"""The vital signs of each gate after each epoch of a run, in its folder: `gate_history.jsonl`."""

import json
import math
from pathlib import Path
from typing import Any

from jaxattn.errors import InputError
from jaxattn.explain.gates import Signs
from jaxattn.limits import TEXT, parse_json, read_bytes
from jaxattn.runs.store import write_text

FILE = "gate_history.jsonl"
History = dict[int, dict[str, Signs]]  # by epoch and gate


def read_history(folder: Path, epochs: int) -> History:
    """The vital signs of epochs 1 to `epochs`, by epoch and gate; empty if none were recorded.

    Raises:
        InputError: if the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        lines = [parse_json(line) for line in read_bytes(path, TEXT).splitlines()]
        history = {line["epoch"]: {name: _signs(one) for name, one in line["gates"].items()} for line in lines}
        if len(history) < len(lines) or not all(type(epoch) is int and epoch > 0 for epoch in history):
            raise ValueError("epochs must be different numbers from 1")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is damaged; delete it") from error
    return {epoch: gates for epoch, gates in history.items() if epoch <= epochs}


def write_history(folder: Path, history: History) -> None:
    """Writes the file, a line for each epoch."""
    lines = (
        json.dumps({"epoch": epoch, "gates": {name: _known(one) for name, one in gates.items()}})
        for epoch, gates in sorted(history.items())
    )
    write_text(folder / FILE, "".join(f"{line}\n" for line in lines))


def _known(one: Signs) -> dict[str, float]:
    """The signs that are known; an earlier version wrote fewer."""
    return {name: value for name, value in one._asdict().items() if not math.isnan(value)}


def _signs(values: dict[str, Any]) -> Signs:
    if not all(isinstance(value, float) and math.isfinite(value) for value in values.values()):
        raise ValueError("a sign is no number")
    return Signs(**values)
