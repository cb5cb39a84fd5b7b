"""Training into a run folder: load, claim the folder, train epoch by epoch, test once."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxattn import runtime
from jaxattn.config import Config
from jaxattn.data import is_own
from jaxattn.data.splits import Split
from jaxattn.errors import Interrupted
from jaxattn.metrics import frequencies
from jaxattn.paths import local_path
from jaxattn.runs import checkpoint, messages, weights
from jaxattn.runs.code import check_trusted, own_classes
from jaxattn.runs.compiled import Build, cached_build
from jaxattn.runs.console import Console
from jaxattn.runs.data import check_trusted_data, divide, moved
from jaxattn.runs.failure import recorded
from jaxattn.runs.final import final_result
from jaxattn.runs.folder import default_folder
from jaxattn.runs.manifest import Manifest, claim, read_manifest
from jaxattn.runs.observer import Observer, Observers
from jaxattn.runs.run import Run, best_epoch, load_run
from jaxattn.runs.start import Job, Metrics, record_start, start_state, warnings, write_files
from jaxattn.runs.store import read_result, write_metrics, write_result
from jaxattn.runs.warmup import load_and_init
from jaxattn.training import devices, feed, loop
from jaxattn.training.initial import representative
from jaxattn.training.processes import broadcast, is_first
from jaxattn.training.program import ingredients
from jaxattn.training.state import TrainState


def fit(
    config: Config, out: str | Path | None = None, console: Console | None = None, build: Build | None = None,
    observers: Sequence[Observer] = (), accept_changed_code: bool = False,
) -> Run:  # fmt: skip
    """Trains, tests once, and writes the run folder.

    A folder that already holds a run of this configuration is resumed from its last complete epoch.

    Args:
        config: what to train.
        out, console: the run folder, by default `runs/<date>-<dataset>-<attention>-s<seed>`; where lines go.
        build: from `runs.compiled.cached_build`; runs that differ only in the seed can share it.
        observers: notified of every epoch, such as those of `jaxattn.observers`.
        accept_changed_code: whether a run may resume although the code of your own module has changed.

    Returns:
        The finished run, with the weights that were tested.

    Raises:
        InputError: if the input cannot be used, the folder is in use or another run's, or the loss is not finite.
        Interrupted: on Ctrl-C; what was trained is kept.
    """
    runtime.tune()
    console, build = (console or Console()) if is_first() else Console(quiet=True), build or cached_build()
    with contextlib.ExitStack() as contexts:
        contexts.enter_context(console.showing_log())
        devices.check_batch(config.batch_size)
        out, requested = None if out is None else local_path(out, "out"), config
        config, splits, early = load_and_init(config, out, console, build)
        train, monitored, test = *divide(config, splits, lazy=feed.is_large(splits.train.images)), splits.test
        program = build(config, splits.spec, len(train) // config.batch_size)
        manifest = Manifest(config, splits.spec, splits.digest(), acts_on=ingredients(config, program))
        folder = out if out is not None else broadcast(lambda: default_folder(config))
        watch = Observers(observers if is_first() else (), console)
        broadcast(lambda: watch.begin(folder, manifest, console))
        initial = broadcast(lambda: weights.find(manifest, folder))  # invalid ones leave no folder behind
        manifest = broadcast(lambda: contexts.enter_context(claim(folder, manifest, accept_changed_code)))
        contexts.enter_context(recorded(folder, config))
        data, first = feed.to_device(train), np.array(train.images[representative(train.labels)])
        trained = frequencies(train.labels, len(splits.classes)).tolist()
        del splits, train  # the training data is on the device; two more copies of CIFAR-10 are 0.3 GB
        job = Job(folder, manifest, program, console, initial, first, watch, warnings(config, requested), trained)
        run = _run(job, early, data, monitored, test)
    console.line(f"everything is in {folder}")
    return run


def _run(job: Job, early: Callable[[], TrainState | None], data: feed.Data, monitored: Split, test: Split) -> Run:
    """The rest of a run, once its folder is claimed: epochs, then the test."""
    state, metrics = start_state(job, early)
    job = record_start(job, len(metrics))
    job.console.line(messages.headline(job.manifest.config, [data.count, len(monitored), len(test)], state.params))
    try:
        _notify(job, job.observers.start, state, metrics, test)
        state = _train(job, state, metrics, data, monitored)
        if broadcast(lambda: read_result(job.folder)) is None:
            result = final_result(job.folder, job.manifest, job.program, state, metrics, test, job.trained)
            write_files(job, lambda: write_result(job.folder, result))
        run = _finished(job)
        job.console.line(messages.result_line(run.result or {}), style="bold")
        job.observers.end(run)
    except KeyboardInterrupt as error:
        config = job.manifest.config
        has_own_code = own_classes(config) or is_own(config.dataset or "")
        setting = "resume_trusted" if has_own_code else "resume"
        raise Interrupted(job.folder, len(metrics), setting) from error
    return run


def resume(
    folder: str | Path, epochs: int | None = None, console: Console | None = None, observers: Sequence[Observer] = (),
    trust_code: bool = False, accept_changed_code: bool = False, data_dir: str | None = None,
) -> Run:  # fmt: skip
    """Continues a run from its last complete epoch.

    Args:
        folder: the run folder; if it is missing, an observer may restore it.
        epochs: a new, larger number of epochs.
        console, observers, accept_changed_code: as for `fit`.
        trust_code: whether a module outside this package that the folder names may be imported, which runs its code.
        data_dir: where the data is, if it has moved.

    Raises:
        InputError: if the folder holds no run, or the data is not what it was trained on.
    """
    runtime.tune()
    folder, console = local_path(folder, "resume"), console or Console()

    def read():
        if not (folder / "config.json").exists():
            Observers(observers, console).begin(folder, None, console)
        config = read_manifest(folder).config
        check_trusted(config, folder, trust_code)
        check_trusted_data(config, folder, trust_code)
        return config

    config = moved(broadcast(read), data_dir)
    config = config if epochs is None else dataclasses.replace(config, epochs=epochs)
    return fit(config, folder, console, observers=observers, accept_changed_code=accept_changed_code)


def _finished(job: Job) -> Run:
    """The run as read from its folder, in every process."""

    def loaded():
        run = load_run(job.folder, trust_code=True, accept_changed_code=True)
        return run.variables, run.epoch, run.metrics, run.result, run.notes

    return _run_of(job, *broadcast(loaded))


def _run_of(job: Job, *state: Any) -> Run:
    run = Run(job.folder, job.manifest.config, job.manifest.data, job.program.model, *state)
    return dataclasses.replace(run, acts_on=job.manifest.acts_on, code=job.manifest.code)


def _notify(job: Job, method: Callable[..., None], state: TrainState, metrics: Metrics, *more: Any) -> None:
    """Notifies the observers of the run so far; without any, nothing is copied from the device."""
    if job.observers:
        now = jax.device_get(state.variables), len(metrics), list(metrics), None
        method(_run_of(job, *now), *more)


def _train(job: Job, state: TrainState, metrics: Metrics, data: feed.Data, monitored: Split) -> TrainState:
    """Trains the epochs that `metrics` lacks; each adds a line to it and to the folder, and leaves a checkpoint."""
    config, done = job.manifest.config, len(metrics)
    if done < config.epochs:  # the result of a shorter run is no longer valid
        write_files(job, lambda: (job.folder / "result.json").unlink(missing_ok=True))
    if 0 < done < config.epochs:
        job.console.line(f"resuming after epoch {done} of {config.epochs} in {job.folder}")
    with job.console.bar(config.epochs, data.count // config.batch_size) as progress:
        for state, line in loop.train(job.program, config, state, data, monitored, done, progress):  # noqa: B020, PLR1704
            write_files(job, functools.partial(_keep_epoch, job, state, [*metrics, line]))
            metrics.append(line)
            job.console.line(messages.epoch_line(line, config))
            _notify(job, job.observers.epoch, state, metrics)
    return state


def _keep_epoch(job, state, metrics):
    folder, epoch = job.folder, metrics[-1]["epoch"]
    write_metrics(folder, metrics)
    best = best_epoch(metrics, {epoch, *checkpoint.epochs(folder / "checkpoints")})
    kept = {epoch, epoch - 1, best}  # one more, in case the last is damaged
    checkpoint.save(folder / "checkpoints", epoch, state, kept, job.manifest.header())
