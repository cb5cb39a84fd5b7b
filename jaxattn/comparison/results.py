"""The finished runs of a comparison, and what is known of each test image."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxattn.array_file import parse_npz
from jaxattn.comparison.plan import Plan
from jaxattn.comparison.variants import distinct_names
from jaxattn.config import Config
from jaxattn.data.splits import Split
from jaxattn.errors import InputError
from jaxattn.explain.knockout import CONDITIONS, MAX_SITES, at, knockout_predictions, sites_of
from jaxattn.limits import read_bytes
from jaxattn.metrics import are_unequal, balanced_accuracy
from jaxattn.runs import checkpoint
from jaxattn.runs.code import check_trusted, check_unchanged, digests
from jaxattn.runs.failure import Failure, failure_of, read_failure
from jaxattn.runs.manifest import Manifest, read_manifest
from jaxattn.runs.result import check_accuracy, read_own_result
from jaxattn.runs.run import load_run
from jaxattn.runs.store import read_metrics

VERSION = "2"  # of the cached files in run folders
PREDICTIONS = "predictions.npz"


class Finished(NamedTuple):
    """A finished run, as read from its files.

    Attributes:
        folder: the run folder.
        config: its configuration.
        result: as in `result.json`.
        metrics: one dict per epoch, as in `metrics.jsonl`.
        manifest: the contents of `config.json`.
    """

    folder: Path
    config: Config
    result: dict[str, Any]
    metrics: list[dict[str, Any]]
    manifest: Manifest


Runs = dict[str, dict[int, Finished]]  # by variant and seed
Failures = dict[str, dict[int, Failure]]  # by variant and seed


def of_plan(folder: Path, plan: Plan) -> Runs:
    """The runs of a plan that are finished, by variant in the plan's order, and seed."""
    runs: Runs = {variant: {} for variant in plan.variants}
    for path, config in plan.folders(folder):
        with contextlib.suppress(InputError):  # `failures` reports it
            if (run := finished_or_none(path)) is not None:
                runs[plan.variant_of(config)][config.seed] = run
    return runs


def complete_looks(folder: Path, plan: Plan) -> tuple[int, ...]:
    """The looks of a plan at which each of its runs is finished or has failed."""
    finished, failed = of_plan(folder, plan), failures(folder, plan)
    ended = [finished[name].keys() | failed[name].keys() for name in plan.variants]
    return tuple(look for look in plan.looks if all(seeds >= set(range(look)) for seeds in ended))


def failures(folder: Path, plan: Plan) -> Failures:
    """Why runs of a plan failed, by variant and seed: as recorded, or because a file is damaged."""
    failed: Failures = {variant: {} for variant in plan.variants}
    for path, config in plan.folders(folder):
        try:
            finished = finished_or_none(path) is not None
            failure = None if finished else read_failure(path)
        except InputError as error:
            failure = failure_of(error, path)
        if failure is not None:
            failed[plan.variant_of(config)][config.seed] = failure
    return failed


def of_folders(folders: Iterable[Path]) -> Runs:
    """Existing runs of one network and data set, by variant and seed; a variant is whatever else they differ in.

    Raises:
        InputError: if a folder holds no finished run, two hold the same run, or network or images differ.
    """
    finished, runs = list[Finished](), dict[str, dict[int, Finished]]()
    for folder in folders:
        run = _finished(folder)
        if run is None:
            raise InputError(f"{folder} holds no finished run; resume it first", "resume", folder)
        finished.append(run)
        first = finished[0]
        if run.config.network != first.config.network:
            raise InputError(f"{folder} is of {run.config.network}, {first.folder} of {first.config.network}")
        if run.result["dataset_hash"] != first.result["dataset_hash"]:
            raise InputError(f"{folder} and {first.folder} were trained on other images (their hash differs)")
    for name, run in zip(distinct_names([run.config for run in finished]), finished, strict=True):
        same = runs.setdefault(name, {})
        if run.config.seed in same:
            both = f"{run.folder} and {same[run.config.seed].folder}"
            raise InputError(f"{both} hold the same variant and seed ({name}, {run.config.seed}); name one of them")
        same[run.config.seed] = run
    return runs


def finished_or_none(folder: Path) -> Finished | None:
    """The run in a folder if it is finished.

    Raises:
        InputError: if one of its files is damaged.
    """
    return _finished(folder) if (folder / "config.json").exists() else None


def _finished(folder: Path) -> Finished | None:
    manifest = read_manifest(folder)
    result = read_own_result(folder, manifest)
    if result is None or result["epochs"] < manifest.config.epochs:
        return None
    return Finished(folder, manifest.config, result, read_metrics(folder, result["epochs"]), manifest)


def notes(runs: Runs, trust_code: bool, accept_changed_code: bool) -> list[str]:
    """What readers of the numbers must know, one sentence each: about the data, once, and about single runs.

    Args:
        runs: finished runs.
        trust_code, accept_changed_code: as for `load_run`.

    Raises:
        InputError: if the code of a variant is not trusted, or has changed since one of its runs was trained.
    """
    of_data = dict.fromkeys(
        note for by_seed in runs.values() for run in by_seed.values() for note in run.manifest.data.notes
    )
    sentences = [*of_data]
    for by_seed in runs.values():
        for run in by_seed.values():
            check_trusted(run.config, run.folder, trust_code)
            changed = check_unchanged(run.manifest.code, run.config, run.folder, accept_changed_code)
            sentences += [
                f"{run.folder.name}: {note}" for note in (*run.manifest.notes(), *changed) if note not in of_data
            ]
    return sentences


def counted(finished: int, planned: int, failures: Mapping[int, Failure]) -> str:
    """How many seeds of a variant are finished, and which failed: "7 of 8 seeds; seed 3 diverged in epoch 2"."""
    if not failures:
        return f"{finished} seed{'s' * (finished != 1)}"
    return "; ".join(
        [f"{finished} of {planned} seeds", *(f"seed {seed} {failures[seed]}" for seed in sorted(failures))]
    )


def failed_runs(failures: Failures) -> str:
    """Names the runs that failed, and the first one's reason; empty if there are none."""
    failed = [
        (f"{name} seed {seed}", failure) for name, by_seed in failures.items() for seed, failure in by_seed.items()
    ]
    if not failed:
        return ""
    names = ", ".join(f"{name} {failure}" for name, failure in failed)
    return f"{len(failed)} run{'s' * (len(failed) != 1)} failed ({names}). {failed[0][0]}: {failed[0][1].reason}"


def accuracies(runs: Runs) -> dict[str, dict[int, float]]:
    """Test accuracy (fraction) by variant and seed."""
    return {
        variant: {seed: run.result["test_accuracy"] for seed, run in by_seed.items()}
        for variant, by_seed in runs.items()
    }


def balanced_accuracies(runs: Runs, test: Split) -> dict[str, float]:
    """Mean balanced accuracy (fraction) of each variant with a finished run; empty if classes are of similar size.

    Args:
        runs: finished runs.
        test: their test images.

    Raises:
        InputError: as for `predictions`.
    """
    if not are_unequal(np.bincount(test.labels)):
        return {}
    balanced = {
        name: [balanced_accuracy(predictions(run, test)["intact"], test.labels) for run in by_seed.values()]
        for name, by_seed in runs.items()
    }
    return {name: float(np.mean(values)) for name, values in balanced.items() if values}


def predictions(run: Finished, test: Split) -> dict[str, np.ndarray]:
    """The predicted classes int [N] of the test images, with the network's gates intact and knocked out.

    They are cached in the run folder, and replaced if the run is trained for more epochs.

    Args:
        run: a finished run.
        test: its test images.

    Raises:
        InputError: if the weights cannot be read, or do not reach the test accuracy in `result.json`.
    """
    made_of, path = basis(run), run.folder / PREDICTIONS
    stored = _read_predictions(path, made_of, len(test), len(run.manifest.data.classes))
    predicted = stored or _predicted(run, test, path, made_of)
    correct = int((predicted["intact"] == test.labels).sum())
    check_accuracy(run.folder, run.config, run.result, correct, len(test))
    return predicted


def basis(run: Finished) -> str:
    """What cached values of a run depend on: their format, the images, the weights and the code."""
    weights = checkpoint.digest(run.folder / "checkpoints", run.result["tested_epoch"])
    return " ".join([VERSION, run.result["dataset_hash"], weights, *digests(run.config).values()])


def _predicted(run: Finished, test: Split, path: Path, made_of: str) -> dict[str, np.ndarray]:
    loaded = load_run(run.folder, trust_code=True, accept_changed_code=True)  # `notes` has checked the code
    predicted = knockout_predictions(loaded.model, loaded.spec, loaded.variables, test.images, by_site=True)
    draft = path.with_name(path.name + ".part")
    with draft.open("wb") as file:
        np.savez_compressed(file, of=np.array(made_of), **predicted)  # type: ignore[arg-type]  # NumPy's stubs
    draft.replace(path)
    return predicted


def _read_predictions(path: Path, made_of: str, images: int, classes: int) -> dict[str, np.ndarray] | None:
    """The predictions in a file; None if it is missing, damaged, or of other weights or images."""
    limit = (1 << 16) + 8 * len(CONDITIONS) * (1 + MAX_SITES) * images
    try:
        arrays = parse_npz(read_bytes(path, 2 * limit), limit)
        is_current = str(arrays.pop("of")) == made_of
    except Exception:  # NumPy and zipfile raise many types
        return None
    whole = [name for name in arrays if " at " not in name]
    by_site = [at(condition, site) for site in sites_of(arrays) for condition in CONDITIONS[1:]]
    complete = whole in (["intact"], list(CONDITIONS)) and list(arrays) == [*whole, *by_site]  # no gate: "intact"
    possible = (
        array.shape == (images,) and array.dtype.kind in "iu" and array.min() >= 0 and array.max() < classes
        for array in arrays.values()
    )
    return arrays if is_current and complete and all(possible) else None
