"""The vital signs of gates over the seeds of a comparison, cached in the run folders that can be written."""

import contextlib
from pathlib import Path

import numpy as np

from jaxattn.comparison.predictions import Predicted, basis
from jaxattn.comparison.results import Finished, Runs
from jaxattn.data.splits import Split
from jaxattn.explain import inference
from jaxattn.explain.gates import Signs
from jaxattn.runs.run import load_run
from jaxattn.runs.store import read_sealed, write_sealed

KEPT = "gates.json"


def vital_signs(runs: Runs, predicted: Predicted, test: Split) -> dict[str, dict[str, Signs]]:
    """The mean signs of each gate over the seeds of each variant with one, by variant and gate.

    Args:
        runs: finished runs.
        predicted: their predicted classes; those without gates have only "intact".
        test: their test images.
    """
    by_variant = {}
    for name, by_seed in runs.items():
        every = [_of_run(run, test) for seed, run in by_seed.items() if len(predicted[name][seed]) > 1]
        gates = [gate for gate in every[0] if all(gate in one for one in every)] if every else []
        means = {gate: Signs(*np.mean([list(one[gate]) for one in every], axis=0).tolist()) for gate in gates}
        if means:
            by_variant[name] = means
    return by_variant


def _of_run(run: Finished, test: Split) -> dict[str, Signs]:
    source = basis(run)
    stored = _read(run.folder / KEPT, source)
    if stored is not None:
        return stored
    loaded = load_run(run.folder, trust_code=True, accept_changed_code=True)  # `results.notes` has checked the code
    predicted = inference.predict(loaded.model, loaded.spec, loaded.variables, test.images)
    by_gate = {str(gate): one for gate, one in predicted.signs(test.labels).items()}
    values = {"of": source, "gates": {gate: one._asdict() for gate, one in by_gate.items()}}
    with contextlib.suppress(OSError):  # somebody else's folder, or another process at the same time
        write_sealed(run.folder / KEPT, values)
    return by_gate


def _read(path: Path, source: str) -> dict[str, Signs] | None:
    """The signs in a file; None if it is missing, damaged, or of other weights or images."""
    try:
        values = read_sealed(path)
        by_gate = {gate: Signs(**one) for gate, one in values["gates"].items()} if values["of"] == source else None
        numbers = [] if by_gate is None else [value for one in by_gate.values() for value in one]
        return by_gate if all(isinstance(value, (int, float)) and np.isfinite(value) for value in numbers) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
