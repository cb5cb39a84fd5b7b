"""`robustness.json` and `robustness.csv`: the metrics of networks on other images, as files."""

import csv
import io
from pathlib import Path
from typing import Any

from jaxattn.comparison.other_images import Measured
from jaxattn.comparison.predictions import basis
from jaxattn.comparison.results import Runs
from jaxattn.comparison.robustness import Robustness, ViewInfo
from jaxattn.errors import InputError, first_line
from jaxattn.robustness.view import ACCURACY, CROSS_ENTROPY
from jaxattn.runs.store import read_sealed, write_sealed, write_text

FILE, FORMAT = "robustness.json", 1
HEADER = ("variant", "seed", "view", "severity", "metric", "value")


def write(folder: Path, robustness: Robustness) -> None:
    """Writes `robustness.json` and `robustness.csv`.

    Raises:
        InputError: if they cannot be written.
    """
    runs = [
        {"variant": name, "seed": seed, "of": robustness.basis[name][seed], "measured": list(measured)}
        for name, by_seed in robustness.measured.items()
        for seed, measured in by_seed.items()
    ]
    lines = [
        (name, seed, seen.view, seen.severity or "", metric, value)
        for name, by_seed in robustness.measured.items()
        for seed, every in by_seed.items()
        for seen, measured in zip(robustness.views, every, strict=True)
        for metric, value in measured.items()
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *lines])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "robustness.csv", text.getvalue())
        views = [seen._asdict() for seen in robustness.views]
        write_sealed(folder / FILE, {"format": FORMAT, "notes": list(robustness.notes), "views": views, "runs": runs})
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; choose another folder", "out") from error


def read(folder: Path, runs: Runs) -> Robustness | None:
    """The metrics in `robustness.json` that are still those of these runs; None if there are none.

    Args:
        folder: the folder of the comparison.
        runs: finished runs; metrics of other runs, or of other weights, are left out.

    Raises:
        InputError: if the file is damaged.
    """
    path = folder / FILE
    try:
        values = read_sealed(path)
        if values["format"] != FORMAT:
            raise ValueError(f"its format must be {FORMAT}, found {values['format']!r:.40}")
        views = tuple(ViewInfo(str(one["view"]), int(one["severity"]), int(one["images"])) for one in values["views"])
        every = {(run["variant"], run["seed"]): (run["of"], _measured(run["measured"])) for run in values["runs"]}
        notes = [str(note) for note in values.get("notes", [])]  # earlier versions wrote none
        _check(views, [measured for _, measured in every.values()])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged: {first_line(error)}; delete it, and test the networks again (jaxattn robustness)"
        ) from error
    kept = {
        name: {
            seed: every[name, seed] for seed, run in by_seed.items() if every.get((name, seed), ("",))[0] == basis(run)
        }
        for name, by_seed in runs.items()
    }
    measured = {name: {seed: one for seed, (_, one) in by_seed.items()} for name, by_seed in kept.items()}
    basis_of = {name: {seed: one for seed, (one, _) in by_seed.items()} for name, by_seed in kept.items()}
    return Robustness(views, measured, basis_of, notes) if any(measured.values()) else None


def _measured(values: Any) -> list[Measured]:
    return [{str(name): float(value) for name, value in one.items()} for one in values]


def _check(views, runs):
    """Checks that each run has metrics for each view."""
    if not views or len({seen[:2] for seen in views}) < len(views):
        raise ValueError("views must have different names")
    metrics = {tuple(tuple(one) for one in measured) for measured in runs}
    if len(metrics) != 1 or len(*metrics) != len(views):
        raise ValueError("all runs must have the same metrics of each view")
    for seen, names in zip(views, *metrics, strict=True):
        if names != (ACCURACY,) and (seen.severity or names != (ACCURACY, CROSS_ENTROPY)):
            raise ValueError(f"metrics of {seen.view!r:.40} must be {ACCURACY}, found {', '.join(names)[:40]}")
