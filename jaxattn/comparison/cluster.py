"""Trains runs as cluster jobs, one job per run, through submitit."""

import os
import time
from pathlib import Path
from typing import Any

from jaxattn.comparison.progress import Progress
from jaxattn.comparison.train import Runs
from jaxattn.config import Config
from jaxattn.errors import InputError
from jaxattn.runs.failure import forget, read_failure, record_once
from jaxattn.runs.store import read_result

POLL_SECONDS = 2.0
CORES = 2  # used by a run on a CPU


def submit(
    jobs: Path, runs: Runs, executor: str, progress: Progress, accept_changed_code: bool = False, **parameters: Any
) -> list[Path]:
    """Submits each run as a job, and waits for all of them.

    Args:
        jobs: folder for the jobs' logs.
        runs: the runs to train.
        executor: "slurm", or "local" for processes on this machine's CPU, one at a time for every two cores.
        progress: notified of finished and failed runs; warns about lost jobs.
        parameters: job parameters for submitit's `update_parameters`.

    Returns:
        Folders of runs that another process is training.

    Raises:
        InputError: if submitit is not installed.
    """
    manager = _manager(jobs, executor, parameters)
    left, at_once = list(runs), max(1, (os.cpu_count() or 1) // CORES) if executor == "local" else len(runs)
    waiting: list[tuple[Any, Path, Config]] = []
    elsewhere: list[Path] = []
    lost: list[tuple[Any, Path]] = []
    while left or waiting:
        starting, left = left[: at_once - len(waiting)], left[at_once - len(waiting) :]
        waiting += [
            (manager.submit(run, config, path, executor == "local", accept_changed_code), path, config)
            for path, config in starting
        ]
        ended = [one for one in waiting if one[0].done()]
        waiting = [one for one in waiting if one not in ended]
        for job, path, config in ended:
            if (result := read_result(path)) is not None:
                progress.finished(config, result)
            elif (failure := read_failure(path)) is not None:
                progress.failed(config, failure)
            elif job.exception() is None:
                elsewhere.append(path)
            else:
                lost.append((job, path))
        time.sleep(POLL_SECONDS if waiting else 0)
    if lost:
        progress.warn(_last_words(lost))
    return elsewhere


def _manager(folder, executor, parameters):
    try:
        import submitit
    except ImportError as error:
        raise InputError("jobs need submitit: pip install 'jaxattn[cluster]'") from error
    manager = submitit.AutoExecutor(folder=folder, cluster=executor)
    manager.update_parameters(**{"timeout_min": 24 * 60, "name": "jaxattn", **parameters})
    return manager


def _last_words(lost):
    """A warning about jobs that ended without a result or a reason, with the last line of the first one's log."""
    job, path = lost[0]
    lines = (job.stderr() or "").strip().splitlines()
    return (
        f"{len(lost)} jobs failed; the same call tries again. The first, {path.name}, says in {job.paths.stderr}: "
        f"{lines[-1] if lines else 'nothing; it was probably killed'}"
    )


def run(config: Config, folder: Path, on_cpu: bool = False, accept_changed_code: bool = False) -> None:
    """Trains one run, in a job; does nothing if another process is training it.

    Args:
        config: what to train.
        folder: the run folder.
        accept_changed_code: as for `fit`.
        on_cpu: whether to use the CPU only; JAX would otherwise take all memory of each GPU.
    """
    if on_cpu:
        import jax

        jax.config.update("jax_platforms", "cpu")
    from jaxattn.runs.console import Console
    from jaxattn.runs.fit import fit

    forget(folder)
    try:
        fit(config, folder, Console(), accept_changed_code=accept_changed_code)
    except Exception as error:
        if not isinstance(error.__cause__, BlockingIOError):
            record_once(folder, error)
            raise
