"""`compare`: trains variants of the attention with the same seeds, judges them, and writes the page."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxattn import runtime
from jaxattn.comparison import MARGIN, cluster, results, sections
from jaxattn.comparison.files import write_files
from jaxattn.comparison.outlook import outlook
from jaxattn.comparison.page import write_page
from jaxattn.comparison.plan import Plan
from jaxattn.comparison.plan_file import check_planned, read_plan, write_plan, write_verdicts
from jaxattn.comparison.predictions import balanced_accuracies, predictions
from jaxattn.comparison.prepare import plan_of, read_data
from jaxattn.comparison.progress import Progress
from jaxattn.comparison.result import Result
from jaxattn.comparison.table import DECIDED, Comparison
from jaxattn.comparison.train import train
from jaxattn.comparison.verdict import judge
from jaxattn.data.splits import Split
from jaxattn.errors import InputError, Interrupted
from jaxattn.paths import local_path
from jaxattn.runs.console import Console
from jaxattn.runs.data import read_test


def compare(  # noqa: PLR0913
    attention: Sequence[Any], seeds: int | Sequence[int] = 8, out: str | Path = "comparison",
    console: Console | None = None, executor: str = "here", mirror: str | Path | None = None,
    retry_failed: bool = False, *, margin: float = MARGIN, baseline: str | None = None, vary: Sequence[str] = (),
    trust_code: bool = False, accept_changed_code: bool = False, **flags: Any,
) -> Result:  # fmt: skip
    """Trains each variant with seeds 0, 1, ..., and judges them. The same call resumes after a stop.

    A failed run does not stop the others, and the same call does not train it again.

    Args:
        attention: names of variants, such as "none", "se@3" or "se:reduction=4", or classes.
        seeds: how many; or several ascending numbers: the variants are judged at each, and more seeds are trained
            only while a verdict is still open.
        out: folder of the comparison, with a run folder for each run.
        console: where lines go; by default standard output.
        executor: "here"; or "local" or "slurm", which submit one job per run through submitit.
        mirror: a folder to which each run is copied, and from which what `out` lacks is restored; only with "here".
        retry_failed: whether runs that failed before are trained again.
        margin: in points; a smaller difference counts as none.
        baseline: name of a variant; by default the first.
        vary: values that each variant is trained with, such as "learning_rate=.06,.12".
        trust_code: whether modules that only the plan in `out` names may be imported; the call's own need none.
        accept_changed_code: whether runs count, and may resume, although the code of your own module has changed.
        flags: fields of `Config` that all runs share; the data set is cifar10 by default.

    Raises:
        InputError: if the input cannot be used, the folder holds another comparison, or no run finishes.
        Interrupted: on Ctrl-C; what was trained is kept.
    """
    runtime.tune()
    console, folder = console or Console(), local_path(out, "out")
    plan = plan_of(attention, seeds, margin=margin, baseline=baseline, vary=vary, **flags)
    mirror = _mirror(mirror, executor)
    with console.showing_log():
        config, splits = read_data(plan, console)
        seen = functools.partial(results.seen, folder)
        plan = write_plan(folder, dataclasses.replace(plan, config=config), splits.digest(), seen, trust_code)
        console.line(outlook(plan))
        results.notes(results.of_plan(folder, plan), True, accept_changed_code)  # raises before more is trained
        failures = _train(folder, plan, executor, console, mirror, retry_failed, accept_changed_code)
        runs = results.of_plan(folder, plan)
        return _judged(folder, plan, runs, splits.test, failures, results.notes(runs, True, accept_changed_code))


def _mirror(mirror: str | Path | None, executor: str) -> Path | None:
    if mirror is not None and executor != "here":
        raise InputError("a mirror works only with the executor here; leave it out", "mirror")
    return None if mirror is None else local_path(mirror, "mirror")


def show(
    folder: str | Path, data_dir: str | None = None, *, trust_code: bool = False, accept_changed_code: bool = False
) -> Result:
    """Judges the finished runs of the comparison in a folder, and writes its page.

    Args:
        folder: the folder of the comparison.
        data_dir: where the data is, if it has moved.
        trust_code, accept_changed_code: as for `load_run`.

    Raises:
        InputError: if the folder holds no comparison or no finished run, the data is not there, or the code of a
            variant is not trusted or has changed.
    """
    folder = local_path(folder)
    plan = read_plan(folder)
    check_planned(folder, plan)
    runs, failures = results.of_plan(folder, plan), results.failures(folder, plan)
    notes = results.notes(runs, trust_code, accept_changed_code)
    return _from_runs(folder, plan, runs, data_dir, failures, notes, trust_code)


def of_runs(
    folders: Sequence[str | Path], out: str | Path, data_dir: str | None = None, *, trust_code: bool = False,
    accept_changed_code: bool = False,
) -> Result:  # fmt: skip
    """Judges existing runs of one network and data set; the first variant is the baseline.

    Runs that differ in more than the seed are different variants.

    Args:
        folders: run folders.
        out: folder for the page and the figures.
        data_dir: where the data is, if it has moved.
        trust_code, accept_changed_code: as for `load_run`.

    Raises:
        InputError: if the runs cannot be compared, the data is not there, or the code of a variant is not trusted
            or has changed.
    """
    out = local_path(out, "out")
    if (out / "compare.json").exists():
        raise InputError(f"{out} holds a comparison with runs of its own; choose another folder", "out")
    runs = results.of_folders([local_path(folder) for folder in folders])
    first = next(run for by_seed in runs.values() for run in by_seed.values())
    plan = Plan(first.config, tuple(runs), (max(map(len, runs.values())),))
    notes = results.notes(runs, trust_code, accept_changed_code)
    return _from_runs(out, plan, runs, data_dir, None, notes, trust_code)


def _train(
    folder: Path, plan: Plan, executor: str, console: Console, mirror: Path | None, retry_failed: bool,
    accept_changed_code: bool,
) -> results.Failures:  # fmt: skip
    """Trains what each look lacks, until every verdict is settled; returns why runs failed."""
    failures: results.Failures = {}
    for number in range(len(plan.looks)):
        part = dataclasses.replace(plan, looks=plan.looks[: number + 1])
        failures = _train_look(folder, part, executor, console, mirror, retry_failed, accept_changed_code)
        runs = results.of_plan(folder, plan)
        ended = {name: {*runs[name], *failures[name]} for name in plan.variants}
        if any(config.seed not in ended[plan.variant_of(config)] for _, config in part.runs()):
            break  # another process is still training a run of this look, which may settle every verdict
        table = _judge(plan, runs, failures)
        if {row.verdict.kind for row in table.rows if row.verdict} <= DECIDED:
            if part.seeds < plan.seeds:
                console.line(f"every verdict is settled after {part.seeds} seeds, no more are trained")
            break
    return failures


def _train_look(folder, plan, executor, console, mirror, retry_failed, accept_changed_code) -> results.Failures:
    """Trains the runs that have neither finished nor failed; returns why runs failed, now or before."""
    finished = results.accuracies(results.of_plan(folder, plan))
    failed = results.failures(folder, plan)
    if retry_failed:  # all but those of earlier looks, which were retried then
        done = (0, *plan.looks)[-2]
        failed = {name: {seed: one for seed, one in by.items() if seed < done} for name, by in failed.items()}
    progress = Progress(plan, finished, failed, console)
    left = [
        (path, config)
        for path, config in plan.folders(folder)
        if not any(config.seed in ended.get(plan.variant_of(config), {}) for ended in (finished, failed))
    ]
    try:
        with progress.shown():
            if executor == "here":
                elsewhere = train(left, progress, mirror, accept_changed_code)
            else:
                elsewhere = cluster.submit(folder / "jobs", left, executor, progress, accept_changed_code)
    except KeyboardInterrupt as error:
        complete = sum(map(len, results.of_plan(folder, plan).values()))
        raise Interrupted(folder, complete, "compare") from error
    if elsewhere:
        console.warn(
            f"{len(elsewhere)} runs are being trained by another process; run the command again when it has finished"
        )
    if text := results.failed_runs(progress.failures):
        console.warn(f"{text}; the same call leaves them out, and trains them again with retry_failed")
    return progress.failures


def _from_runs(
    folder: Path, plan: Plan, runs: results.Runs, data_dir: str | None, failures: results.Failures | None,
    notes: list[str], trust_code: bool,
) -> Result:  # fmt: skip
    run = _any_finished(folder, runs, failures)
    return _judged(folder, plan, runs, read_test(run.folder, data_dir, trust_code), failures, notes)


def _judged(
    folder: Path, plan: Plan, runs: results.Runs, test: Split, failures: results.Failures | None, notes: list[str]
) -> Result:
    """Judges the runs and writes the page; `failures` is None for runs that `compare` did not train."""
    _any_finished(folder, runs, failures)  # raises if there is none
    if failures is None:  # with all seeds that there are
        table = judge(results.accuracies(runs), plan.variants[0], images=len(test), margin=plan.margin,
                      parameters=results.parameters(runs))  # fmt: skip
    else:
        table = _judge(plan, runs, failures, len(test))
    predicted = {name: {seed: predictions(run, test) for seed, run in by.items()} for name, by in runs.items()}
    table = sections.with_new_images(table, sections.crossed_intervals(table, predicted, test))
    table = table._replace(balanced=balanced_accuracies(predicted, test))
    page = write_page(folder, plan, runs, table, test, failures, predicted=predicted, notes=notes)
    write_files(folder, table, results.accuracies(runs), runs)
    if failures is not None:
        write_verdicts(folder, table)
    return Result(table, page, failures or {}, tuple(notes))


def _judge(plan: Plan, runs: results.Runs, failures: results.Failures, images: int | None = None) -> Comparison:
    return judge(
        results.accuracies(runs), plan.variants[0], plan.looks, images, margin=plan.margin, failed=failures,
        earlier=plan.earlier, parameters=results.parameters(runs),
    )  # fmt: skip


def _any_finished(folder: Path, runs: results.Runs, failures: results.Failures | None) -> results.Finished:
    """Any finished run.

    Raises:
        InputError: if there is none.
    """
    run = next((run for by_seed in runs.values() for run in by_seed.values()), None)
    if run is not None:
        return run
    first = next((failure for by_seed in (failures or {}).values() for failure in by_seed.values()), None)
    if first is not None:
        raise InputError(f"{folder} holds no finished run: {first.reason}", "retry_failed")
    raise InputError(f"{folder} holds no finished run yet; run the command that made it again")
