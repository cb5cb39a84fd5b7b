"""Training into a run folder: load, claim the folder, train epoch by epoch, test once."""

import concurrent.futures
import contextlib
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxattn import runtime
from jaxattn.attention.cost import parameters
from jaxattn.config import Config
from jaxattn.data.splits import Split, Splits
from jaxattn.errors import InputError, Interrupted
from jaxattn.runs import checkpoint, messages, weights
from jaxattn.runs.console import Console
from jaxattn.runs.data import divide, load_data
from jaxattn.runs.manifest import Manifest, claim, default_folder, read_manifest
from jaxattn.runs.run import Run, best_epoch, load_run, load_variables
from jaxattn.runs.store import read_metrics, read_result, write_json, write_metrics
from jaxattn.training import devices, loop
from jaxattn.training.evaluation import accuracy_with_flips, evaluate
from jaxattn.training.initial import prepare
from jaxattn.training.processes import agree, broadcast, is_first
from jaxattn.training.program import Program, build, template
from jaxattn.training.state import TrainState

Metrics = list[dict[str, Any]]
Build = Callable[..., Program]
USUAL = 10, (32, 32, 3)  # classes and image shape


class _Job(NamedTuple):
    folder: Path
    manifest: Manifest
    program: Program
    console: Console
    given: weights.Arrays | None


def fit(config: Config, out: str | Path | None = None, console: Console | None = None, build: Build = build) -> Run:
    """Trains, tests once, and writes the run folder.

    A folder that already holds a run of this configuration is resumed from its last complete epoch.

    Args:
        config: what to train.
        out: the run folder; by default `runs/<date>-<dataset>-<attention>-s<seed>`.
        console: where lines go; by default standard output.
        build: makes the program; one that remembers its programs spares compiling for runs that differ in the seed.

    Returns:
        The finished run, with the weights that were tested.

    Raises:
        InputError: where the input cannot be used, the folder is in use or another run's, or the loss is not finite.
        Interrupted: on Ctrl-C; what was trained is kept.
    """
    runtime.tune()
    console = (console or Console()) if is_first() else Console(quiet=True)
    devices.check_batch(config.batch_size)
    config, splits, early = _load(config, out, console, build)
    train, monitored, test = *divide(config, splits), splits.test
    manifest = Manifest(config, splits.classes, splits.train.images.shape[1:], splits.digest())
    folder = Path(out) if out is not None else broadcast(lambda: default_folder(config))
    given = broadcast(lambda: weights.find(manifest, folder))  # wrong ones leave no folder behind
    with contextlib.ExitStack() as held:
        broadcast(lambda: held.enter_context(claim(folder, manifest)))
        program = build(config, len(manifest.classes), manifest.image_shape, len(train) // config.batch_size)
        data = devices.replicate((train.images, train.labels))
        del splits, train  # the training data is on the device; two more copies of CIFAR-10 are 0.3 GB
        job = _Job(folder, manifest, program, console, given)
        state, metrics = _start(job, early, data[0])
        console.line(messages.headline(config, map(len, (data[0], monitored, test)), state.params))
        try:
            state = _train(job, state, metrics, data, monitored)
            if broadcast(lambda: read_result(folder)) is None:
                _test(job, state, metrics, test)
        except KeyboardInterrupt as error:
            raise Interrupted(folder, len(metrics)) from error
        variables, epoch, metrics, result = broadcast(lambda: _finished(folder))
    run = Run(folder, config, manifest.classes, program.model, variables, epoch, metrics, result)
    console.line(messages.result_line(result), style="bold")
    console.line(f"everything is in {folder}")
    return run


def resume(folder: str | Path, epochs: int | None = None, console: Console | None = None, **moved: Any) -> Run:
    """Continues a run from its last complete epoch.

    Args:
        folder: of the run.
        epochs: a new, larger number of epochs.
        console: where lines go; by default standard output.
        moved: `data_dir=`, where the data has moved.

    Raises:
        InputError: where the folder holds no run, or the data is not what it was trained on.
    """
    runtime.tune()
    config = broadcast(lambda: read_manifest(Path(folder)).config)
    changed = moved if epochs is None else {**moved, "epochs": epochs}
    return fit(dataclasses.replace(config, **changed), folder, console)


def _load(
    config: Config, out: str | Path | None, console: Console, build: Build
) -> tuple[Config, Splits, TrainState | None]:
    """The configuration with its data, and the initial state of the usual network, compiled while the data is read."""
    usual = build(config, *USUAL, 1)
    template(usual)  # wrong names and modules are found before the data is loaded
    # Several processes would have to agree on the order of their programs.
    is_new = jax.process_count() == 1 and (out is None or not checkpoint.epochs(Path(out) / "checkpoints"))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        early = pool.submit(_initial, usual, config) if is_new else None
        config, splits = agree(lambda: load_data(config, console), lambda loaded: loaded[1].digest())
    shape = len(splits.classes), splits.train.images.shape[1:]
    return config, splits, early.result() if early and shape == USUAL else None


def _initial(program, config):
    with runtime.LOADING_TFDS:
        return program.init(loop.keys(config)[0])


def _finished(folder):
    run = load_run(folder)
    return run.variables, run.epoch, run.metrics, run.result


def _start(job: _Job, early: TrainState | None, images: jax.Array) -> tuple[TrainState, Metrics]:
    """The state and the metrics of the last complete epoch, or fresh ones: `early`, if it is there."""

    def last():
        complete = checkpoint.epochs(job.folder / "checkpoints")
        if not complete:
            return None
        metrics = read_metrics(job.folder, complete[-1])
        return checkpoint.restore(job.folder / "checkpoints", complete[-1], template(job.program)), metrics

    found = broadcast(last)
    config = job.manifest.config
    if found is None:
        drawn = early or job.program.init(loop.keys(config)[0])
        drawn = prepare(drawn, images, config.first_conv, config.later_convs)
        found = weights.take_over(drawn, job.given, config.init, job.console), []
    return devices.replicate(found[0]), found[1]


def _train(job: _Job, state: TrainState, metrics: Metrics, data: loop.Data, monitored: Split) -> TrainState:
    """Trains the epochs that `metrics` lacks; each adds a line to it and to the folder, and leaves a checkpoint."""
    config, done = job.manifest.config, len(metrics)
    if done < config.epochs:  # the result of a shorter run is not this one's
        _write(job, lambda: (job.folder / "result.json").unlink(missing_ok=True))
    if 0 < done < config.epochs:
        job.console.line(f"resuming after epoch {done} of {config.epochs} in {job.folder}")
    with job.console.bar(config.epochs, len(data[0]) // config.batch_size) as progress:
        for state, line in loop.train(job.program, config, state, data, monitored, done, progress):  # noqa: B020, PLR1704
            _write(job, functools.partial(_keep_epoch, job.folder, state, [*metrics, line]))
            metrics.append(line)
            job.console.line(messages.epoch_line(line, config))
    return state


def _keep_epoch(folder, state, metrics):
    epoch = metrics[-1]["epoch"]
    write_metrics(folder, metrics)
    best = best_epoch(metrics, {epoch, *checkpoint.epochs(folder / "checkpoints")})
    checkpoint.save(folder / "checkpoints", epoch, state, {epoch, best})


def _write(job: _Job, write: Callable[[], None]) -> None:
    """Lets the first process write to the folder.

    Raises:
        InputError: where that fails, on every process.
    """

    def attempt():
        try:
            write()
        except OSError as error:
            raise InputError(
                f"cannot write to {job.folder}: {error.strerror}; free space, then resume", "resume", job.folder
            ) from error

    broadcast(attempt)


def _test(job: _Job, state: TrainState, metrics: Metrics, test: Split) -> None:
    """Reads the test set, once, with the weights that the configuration says, and writes `result.json`."""
    config = job.manifest.config
    complete = broadcast(lambda: checkpoint.epochs(job.folder / "checkpoints"))
    tested = best_epoch(metrics, complete) if config.keep == "best" else len(metrics)
    variables = state.variables
    if tested != len(metrics):
        variables = broadcast(lambda: load_variables(job.folder, tested, job.program))
    loss, accuracy, logits = evaluate(job.program.evaluate, variables, test)
    result = {
        "test_loss": loss,
        "test_accuracy": accuracy,
        "test_images": len(test),
        "best_epoch": best_epoch(metrics),
        "tested_epoch": tested,
        "epochs": len(metrics),
        "seconds": round(sum(line.get("seconds", 0) for line in metrics), 3),
        "parameters": parameters(state.params),
        **messages.identity(config, job.manifest.dataset_hash),
    }
    if config.test_augmentation == "flips":
        result["test_accuracy_with_flips"] = accuracy_with_flips(job.program.evaluate, variables, test, logits)
    _write(job, lambda: write_json(job.folder / "result.json", result))
