"""Runs as jobs of a cluster, by submitit: one run a job."""

import time
from pathlib import Path
from typing import Any

from jaxattn.comparison.plan import Plan
from jaxattn.comparison.progress import Progress
from jaxattn.comparison.train import unfinished
from jaxattn.config import Config
from jaxattn.errors import InputError
from jaxattn.runs.store import read_result

SECONDS_BETWEEN_LOOKS = 2.0


def submit(folder: Path, plan: Plan, executor: str, progress: Progress, **parameters: Any) -> list[Path]:
    """Submits each run that is not finished as a job, and waits for all of them.

    Args:
        folder: of the comparison; the jobs' logs are in its folder `jobs`.
        plan: what to train.
        executor: "slurm", or "local" for processes on this machine.
        progress: is told of finished runs.
        parameters: of the jobs, as submitit's `update_parameters` takes them.

    Returns:
        Folders of runs that another process is training.

    Raises:
        InputError: where submitit is not installed, or a job failed.
    """
    try:
        import submitit
    except ImportError as error:
        raise InputError("jobs need submitit: pip install 'jaxattn[cluster]'") from error
    manager = submitit.AutoExecutor(folder=folder / "jobs", cluster=executor)
    manager.update_parameters(**{"timeout_min": 24 * 60, "name": "jaxattn", **parameters})
    waiting = [(manager.submit(run, config, path), config, path) for path, config in unfinished(folder, plan)]
    taken, failed = [], []
    while waiting:
        done = [job for job in waiting if job[0].done()]
        waiting = [job for job in waiting if job not in done]
        for job, config, path in done:
            result = read_result(path)
            if result is not None:
                progress.finished(config, result)
            elif job.exception() is None:
                taken.append(path)
            else:
                failed.append(job)
        time.sleep(SECONDS_BETWEEN_LOOKS if waiting else 0)
    if failed:
        raise InputError(
            f"{len(failed)} jobs failed; the first says in {failed[0].paths.stderr}: "
            f"{str(failed[0].exception()).strip().splitlines()[-1]}"
        )
    return taken


def run(config: Config, folder: Path) -> None:
    """Trains one run, in a job; a run that another process is training is left to it."""
    from jaxattn.runs.console import Console
    from jaxattn.runs.fit import fit

    try:
        fit(config, folder, Console())
    except InputError as error:
        if not isinstance(error.__cause__, BlockingIOError):
            raise
