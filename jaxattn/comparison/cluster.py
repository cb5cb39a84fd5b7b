"""Runs as jobs of a cluster, by submitit: one run a job."""

import os
import time
from pathlib import Path
from typing import Any

from jaxattn.comparison.plan import Plan
from jaxattn.comparison.progress import Progress
from jaxattn.comparison.train import unfinished
from jaxattn.config import Config
from jaxattn.errors import InputError, Interrupted
from jaxattn.runs.store import read_result

SECONDS_BETWEEN_LOOKS = 2.0
CORES = 2  # that a run on a CPU keeps busy


def submit(folder: Path, plan: Plan, executor: str, progress: Progress, **parameters: Any) -> list[Path]:
    """Submits each run that is not finished as a job, and waits for all of them.

    Args:
        folder: of the comparison; the jobs' logs are in its folder `jobs`.
        plan: what to train.
        executor: "slurm", or "local" for processes on this machine's CPU, one at a time for every two cores.
        progress: is told of finished runs, and warns of jobs that failed.
        parameters: of the jobs, as submitit's `update_parameters` takes them.

    Returns:
        Folders of runs that another process is training.

    Raises:
        InputError: where submitit is not installed.
        Interrupted: on Ctrl-C; jobs of a cluster go on.
    """
    manager = _manager(folder / "jobs", executor, parameters)
    runs = unfinished(folder, plan)
    waiting: list[Any] = []
    taken: list[Path] = []
    failed = []
    at_once = max(1, (os.cpu_count() or 1) // CORES) if executor == "local" else len(runs)
    try:
        while runs or waiting:
            starting, runs = runs[: at_once - len(waiting)], runs[at_once - len(waiting) :]
            waiting += [(manager.submit(run, config, path), config, path) for path, config in starting]
            done = [one for one in waiting if one[0].done()]
            waiting = [one for one in waiting if one not in done]
            for job, config, path in done:
                result = read_result(path)
                if result is not None:
                    progress.finished(config, result)
                elif job.exception() is None:
                    taken.append(path)
                else:
                    failed.append((job, path))
            time.sleep(SECONDS_BETWEEN_LOOKS if waiting else 0)
    except KeyboardInterrupt as error:
        raise Interrupted(folder, len(plan.runs()) - len(unfinished(folder, plan)), "compare") from error
    if failed:
        progress.warn(_said(failed))
    return taken


def _manager(folder, executor, parameters):
    try:
        import submitit
    except ImportError as error:
        raise InputError("jobs need submitit: pip install 'jaxattn[cluster]'") from error
    manager = submitit.AutoExecutor(folder=folder, cluster=executor)
    manager.update_parameters(**{"timeout_min": 24 * 60, "name": "jaxattn", **parameters})
    return manager


def _said(failed):
    """What the first of some failed jobs says last in its log."""
    job, path = failed[0]
    lines = (job.stderr() or "").strip().splitlines()
    return (
        f"{len(failed)} jobs failed; the same call tries again. The first, {path.name}, says in {job.paths.stderr}: "
        f"{lines[-1] if lines else 'nothing, so it was killed'}"
    )


def run(config: Config, folder: Path) -> None:
    """Trains one run, in a job; a run that another process is training is left to it."""
    from jaxattn.runs.console import Console
    from jaxattn.runs.fit import fit

    try:
        fit(config, folder, Console())
    except InputError as error:
        if not isinstance(error.__cause__, BlockingIOError):
            raise
