"""Tests the networks of a comparison on other images: each once on each view; the metrics are cached."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxattn.comparison.predictions import basis
from jaxattn.comparison.results import Runs
from jaxattn.robustness.view import ACCURACY, CROSS_ENTROPY, View
from jaxattn.runs.run import load_run
from jaxattn.runs.store import read_sealed, write_sealed
from jaxattn.training import evaluation

KEPT = "other_images.json"
Measured = dict[str, float]  # by metric


def measure(runs: Runs, views: Sequence[View], say: Callable[[str], Any]) -> dict[str, dict[int, list[Measured]]]:
    """The metrics of each run on each view, by variant and seed; cached in run folders that can be written.

    Args:
        runs: finished runs, whose code `results.notes` has checked.
        views: the views to test on.
        say: called with a line about each view (once for all its severities) that is not yet cached.

    Raises:
        InputError: if weights cannot be read.
    """
    every = [run for by_seed in runs.values() for run in by_seed.values()]
    sources = {run.folder: basis(run) for run in every}
    kept = {run.folder: _read(run.folder / KEPT, sources[run.folder]) for run in every}
    load = functools.cache(functools.partial(load_run, trust_code=True, accept_changed_code=True))
    for number, view in enumerate(views, 1):
        left = [run for run in every if not _holds(kept[run.folder], view)]
        if not left:
            continue
        if view.severity < 2 or number == 1:
            say(f"[{number}/{len(views)}] {view.name}: {view.images:,} images, {len(left)} networks")
        images, labels = view.load()
        for run in left:
            network = load(run.folder)
            logits = evaluation.logits(network.model, network.spec, network.variables, images)
            kept[run.folder][view.digest] = view.measure(logits, labels)
            with contextlib.suppress(OSError):  # a folder that cannot be written: nothing is kept
                write_sealed(run.folder / KEPT, {"of": sources[run.folder], "measured": kept[run.folder]})
    return {
        name: {seed: [kept[run.folder][view.digest] for view in views] for seed, run in by_seed.items()}
        for name, by_seed in runs.items()
    }


def _read(path: Path, source: str) -> dict[str, Measured]:
    """The cached metrics of a run; empty if they belong to other weights or images, or are damaged."""
    try:
        values = read_sealed(path)
        measured = values["measured"] if values["of"] == source else {}
        return {str(key): {str(name): float(one) for name, one in by.items()} for key, by in measured.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _holds(measured: dict[str, Measured], view: View) -> bool:
    stored = measured.get(view.digest, {})
    metrics = {ACCURACY} if view.people is None else {ACCURACY, CROSS_ENTROPY}
    return stored.keys() == metrics and 0 <= stored[ACCURACY] <= 1 and bool(np.isfinite(list(stored.values())).all())
