"""How a run starts or resumes: the state and the metrics of its last epoch, and a record of its code and machine."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxattn.config import Config
from jaxattn.errors import InputError, write_failure
from jaxattn.runs import checkpoint, weights
from jaxattn.runs.code import digests
from jaxattn.runs.console import Console
from jaxattn.runs.environment import environment, now
from jaxattn.runs.history import Start
from jaxattn.runs.manifest import Manifest, write_manifest
from jaxattn.runs.observer import Observers
from jaxattn.runs.store import read_metrics, read_result
from jaxattn.training import devices, loop
from jaxattn.training.initial import prepare
from jaxattn.training.processes import broadcast
from jaxattn.training.program import Program, template
from jaxattn.training.state import TrainState

FALLBACK = "CIFAR-10 was not available and no data set was named: the built-in data set shapes was used instead"
Metrics = list[dict[str, Any]]


class Job(NamedTuple):
    """A run whose folder is claimed.

    Attributes:
        folder: the run folder.
        manifest: the contents of `config.json`.
        program: program of its configuration.
        console: where lines go.
        initial: weights that it starts from, from `weights.find`.
        first: training images at `initial.representative` rows, uint8 [N, H, W, 3].
        observers: notified of every epoch.
        warnings: what readers of its numbers must know about this start.
        trained: number of training images of each class [K].
    """

    folder: Path
    manifest: Manifest
    program: Program
    console: Console
    initial: weights.Arrays | None
    first: np.ndarray
    observers: Observers
    warnings: tuple[str, ...]
    trained: list[int]


def warnings(config: Config, requested: Config) -> tuple[str, ...]:
    """What readers of a run's numbers must know about its data set, if that is not the `requested` one."""
    return () if requested.dataset or config.dataset == "cifar10" else (FALLBACK,)


def start_state(job: Job, early: Callable[[], TrainState | None]) -> tuple[TrainState, Metrics]:
    """The state and the metrics of the last complete epoch, or those of a new run.

    Args:
        job: the run.
        early: returns a new run's initial state, or None if it must be initialised here.

    Raises:
        InputError: if there are checkpoints and none of them can be read.
    """
    config, resumed = job.manifest.config, broadcast(lambda: _last(job))
    if resumed is None:
        drawn = early() or job.program.init(loop.keys(config)[0])
        new = prepare(job.program.model, drawn, job.first, job.manifest.data, config.first_conv, config.later_convs)
        resumed = weights.take_over(new, job.initial, config.init, job.console), []
    return devices.replicate(resumed[0]), resumed[1]


def _last(job: Job) -> tuple[TrainState, Metrics] | None:
    """The state and the metrics of the last epoch whose checkpoint can be read; None if there is no checkpoint.

    Raises:
        InputError: if there are some and none of them can be read.
    """
    folder = job.folder / "checkpoints"
    complete = checkpoint.epochs(folder)
    while complete:
        epoch = complete.pop()
        metrics = read_metrics(job.folder, epoch)
        try:
            return checkpoint.restore(folder, epoch, template(job.program), job.manifest.header()), metrics
        except checkpoint.DamagedCheckpointError as error:
            if not complete:
                raise
            job.console.warn(f"{error.reason}; epoch {complete[-1]} is used instead")
    return None


def record_start(job: Job, epoch: int) -> Job:
    """Records in `config.json` the code and machine of an unfinished run from an epoch on; prints what differs."""
    manifest = job.manifest
    if epoch == manifest.config.epochs and broadcast(lambda: read_result(job.folder)) is not None:
        return job
    start = Start(epoch, now(), environment(), digests(manifest.config), job.warnings, manifest.config.epochs)
    recorded = dataclasses.replace(manifest, starts=(*manifest.starts, start))
    write_files(job, lambda: write_manifest(job.folder, recorded))
    for note in recorded.notes():
        if note not in manifest.notes() and note not in job.warnings:
            job.console.line(note)
    return job._replace(manifest=recorded)


def write_files(job: Job, write: Callable[[], None]) -> None:
    """Lets the first process write to the folder.

    Raises:
        InputError: if that fails, on every process.
    """

    def attempt():
        try:
            write()
        except OSError as error:
            raise InputError(
                f"cannot write to {job.folder}: {write_failure(error)}, then resume", "resume", job.folder
            ) from error

    broadcast(attempt)
