"""The finished and the failed runs of a comparison."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxattn.comparison.plan import Plan
from jaxattn.comparison.variants import distinct_names
from jaxattn.config import Config
from jaxattn.errors import InputError
from jaxattn.runs.code import check_trusted, check_unchanged
from jaxattn.runs.failure import Failure, failure_of, read_failure
from jaxattn.runs.manifest import Manifest, read_manifest
from jaxattn.runs.result import read_own_result
from jaxattn.runs.store import read_metrics


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


def seen(folder: Path, plan: Plan) -> tuple[tuple[int, ...], int]:
    """The looks of a plan at which a variant may have been judged, and how many seeds may have been seen.

    A look counts if it is complete for a variant and the baseline; seeds count that both have.
    """
    finished, failed = of_plan(folder, plan), failures(folder, plan)
    baseline, *others = ({*finished[name], *failed[name]} for name in plan.variants)
    looks = tuple(look for look in plan.looks if any(ended & baseline >= set(range(look)) for ended in others))
    first, *rest = (finished[name].keys() for name in plan.variants)
    return looks, max((len(seeds & first) for seeds in rest), default=0)


def parameters(runs: Runs) -> dict[str, int]:
    """The number of parameters of each variant with a finished run."""
    return {name: run.result["parameters"] for name, by_seed in runs.items() for run in by_seed.values()}


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
