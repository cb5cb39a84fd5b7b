"""The host loop: from a configuration to a run folder. Files, clocks and printing live here."""

import collections
import contextlib
import dataclasses
import datetime
import functools
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, final

import flax
import jax
import numpy as np
import optax

from jaxattn import checkpoint, devices, training
from jaxattn.config import Config
from jaxattn.data import DATASETS
from jaxattn.data.splits import Split, Splits, hold_out
from jaxattn.errors import InputError, UnavailableError, lookup
from jaxattn.folder import Header, claim, read_header, read_metrics, read_result, write_json, write_metrics
from jaxattn.model import CNN
from jaxattn.program import Program, build, evaluate
from jaxattn.screen import Screen

Data = tuple[jax.Array, jax.Array]  # images uint8 [N, H, W, 3] and labels int32 [N], on the device

CALLS_IN_FLIGHT = 2
BATCHES_TIMED = 5


@final
@dataclasses.dataclass(frozen=True)
class Run:
    """A run as it stands in its folder.

    Attributes:
        folder: where.
        config: what was asked for; its `dataset` is the one that was used.
        classes: names of the classes [K].
        model: the network.
        variables: its parameters and statistics at `epoch`.
        epoch: the epoch they are from.
        metrics: a dict an epoch, as in `metrics.jsonl`.
        result: as in `result.json`; None where the run has not ended.
    """

    folder: Path
    config: Config
    classes: tuple[str, ...]
    model: CNN
    variables: dict[str, Any]
    epoch: int
    metrics: list[dict[str, Any]]
    result: dict[str, Any] | None


class _Job(NamedTuple):
    folder: Path
    header: Header
    program: Program
    screen: Screen


def load_data(config: Config, screen: Screen) -> tuple[Config, Splits]:
    """The data set of a configuration, and the configuration with its name filled in.

    Raises:
        InputError: where the data set is not known, damaged, or was asked for by name and cannot be had.
    """
    folder = Path(os.path.expanduser(config.data_dir))  # as it stands where there is no such home

    def load(name):
        try:
            return dataclasses.replace(config, dataset=name), lookup("dataset", name, DATASETS)(folder)
        except OSError as error:
            raise InputError(f"cannot read {folder}: {error.strerror}; choose another --data-dir") from error

    try:
        return load(config.dataset or "cifar10")
    except UnavailableError as error:
        if config.dataset is not None:
            raise
        screen.warn(f"no CIFAR-10 here: training on the built-in data set shapes instead.\n{error}")
        return load("shapes")


def divide(config: Config, splits: Splits) -> tuple[Split, Split]:
    """What to train on, and what steers: a part held out of train, or the test set where the configuration says so.

    Raises:
        InputError: where a part would be too small.
    """
    if config.steer == "test":
        train, val = splits.train, splits.test
    else:
        train, val = hold_out(splits.train, round(config.validation * len(splits.train)), config.seed)
    if not len(val):
        raise InputError(f"validation must hold out a picture, {config.validation} of {len(splits.train)} is none")
    if len(train) < config.batch_size:
        raise InputError(f"batch_size must be at most the {len(train)} training pictures, got {config.batch_size}")
    return train, val


def fit(config: Config, out: str | Path | None = None, screen: Screen | None = None) -> Run:
    """Trains, tests once, and writes the run folder.

    A folder that holds a run of this very configuration is gone on with from its last whole epoch.

    Args:
        config: what to train.
        out: the run folder; by default `runs/<date>-<dataset>-<attention>-s<seed>`.
        screen: where lines go; by default standard output.

    Returns:
        The ended run, with the weights that were tested.

    Raises:
        InputError: where the input cannot be used, the folder holds another run or is in use by another process, or the
            loss stops being finite.
    """
    screen = (screen or Screen()) if devices.is_first() else Screen(quiet=True)
    devices.check_batch(config.batch_size)
    _template(build(config, 10, (32, 32, 3), 1))  # wrong names and modules are found before the data is loaded
    config, splits = devices.agree(lambda: load_data(config, screen), lambda loaded: loaded[1].digest())
    train, val = divide(config, splits)
    header = Header(config, splits.classes, splits.train.images.shape[1:], splits.digest())
    test, sizes = splits.test, [len(part) for part in (train, val, splits.test)]
    folder = Path(out) if out is not None else devices.share(lambda: _default_folder(config))
    with contextlib.ExitStack() as held:
        devices.share(lambda: held.enter_context(claim(folder, header)))
        program = build(config, len(header.classes), header.image_shape, len(train) // config.batch_size)
        data = devices.put((train.images, train.labels))
        del splits, train  # what trains lies on the device; two more copies of CIFAR-10 are 0.3 GB
        job = _Job(folder, header, program, screen)
        state, metrics = _start(job)
        done = len(metrics)
        if done < config.epochs:  # what a shorter run ended with is not how this one ends
            _keep(job, lambda: (folder / "result.json").unlink(missing_ok=True))
        screen.line(_headline(config, sizes, state))
        if done:
            screen.line(f"going on after epoch {done} of {config.epochs} in {folder}")
        try:
            state = _train(job, state, metrics, data, val)
        except KeyboardInterrupt:
            screen.line(f"stopped; {len(metrics)} whole epochs are kept. Go on with: {_resume_command(folder)}")
            raise
        if devices.share(lambda: read_result(folder)) is None:
            _test(job, state, metrics, test)
        run = Run(folder, config, header.classes, program.model, *devices.share(lambda: _ended(folder)))
    _report_result(run, screen)
    return run


def resume(folder: str | Path, epochs: int | None = None, screen: Screen | None = None, **moved: Any) -> Run:
    """Goes on with a run from its last whole epoch.

    Args:
        folder: of the run.
        epochs: a new, larger number of epochs.
        screen: where lines go; by default standard output.
        moved: `data_dir=`, where the data lies elsewhere now.

    Raises:
        InputError: where the folder holds no run, or other data is found than it was trained on.
    """
    config = devices.share(lambda: read_header(Path(folder)).config)
    return fit(dataclasses.replace(config, epochs=config.epochs if epochs is None else epochs, **moved), folder, screen)


def load_run(folder: str | Path, which: str = "tested") -> Run:
    """A run as it stands in its folder.

    Args:
        folder: of the run.
        which: weights of the "best" epoch, the "last", or the one "tested" at the end (one of the two, as configured).

    Raises:
        InputError: where the folder holds no run, or no epoch of it is whole.
    """
    folder = Path(folder)
    header = read_header(folder)
    program = build(header.config, len(header.classes), header.image_shape, 1)
    whole = checkpoint.epochs(folder / "checkpoints")
    if not whole:
        raise InputError(f"{folder} holds no whole epoch yet; go on with: {_resume_command(folder)}")
    metrics = read_metrics(folder, whole[-1])
    choices = {"best": best_epoch(metrics), "last": whole[-1]}
    choices["tested"] = choices[header.config.keep]
    epoch = lookup("choice of weights", which, choices)
    try:
        variables = checkpoint.restore(folder / "checkpoints", epoch, _template(program).variables)
    except InputError:
        if epoch in checkpoint.epochs(folder / "checkpoints"):
            raise
        return load_run(folder, which)  # the run is alive, and has put a newer one in its place
    return Run(folder, header.config, header.classes, program.model, variables, epoch, metrics, read_result(folder))


def best_epoch(metrics: list[dict[str, Any]]) -> int:
    """The epoch of highest validation accuracy; of several, the one of lowest validation loss, then the first."""
    return max(metrics, key=lambda line: (line["val_accuracy"], -line["val_loss"], -line["epoch"]))["epoch"]


def _ended(folder):
    run = load_run(folder)
    return run.variables, run.epoch, run.metrics, run.result


def _start(job: _Job) -> tuple[training.TrainState, list[dict[str, Any]]]:
    """The state and the metrics of the last whole epoch, or fresh ones."""

    def last():
        whole = checkpoint.epochs(job.folder / "checkpoints")
        if not whole:
            return None
        metrics = read_metrics(job.folder, whole[-1])
        return checkpoint.restore(job.folder / "checkpoints", whole[-1], _template(job.program)), metrics

    found = devices.share(last)
    if found is None:
        return job.program.init(_keys(job.header.config)[0]), []
    return devices.put(found[0]), found[1]


def _keep(job: _Job, write: Callable[[], None]) -> None:
    """Has the first process write to the folder.

    Raises:
        InputError: where that cannot be, on every process.
    """

    def told():
        try:
            write()
        except OSError as error:
            raise InputError(
                f"cannot write to {job.folder}: {error.strerror}; free space, then go on with: "
                f"{_resume_command(job.folder)}"
            ) from error

    devices.share(told)


def _template(program: Program) -> training.TrainState:
    return jax.eval_shape(program.init, jax.random.key(0))


def _keys(config: Config) -> jax.Array:
    """Two keys [2]: for the weights; for augmentation and dropout."""
    return jax.random.split(jax.random.key(config.seed))


def _train(job: _Job, state: training.TrainState, metrics: list[dict[str, Any]], data: Data, val: Split):
    """Trains the epochs that `metrics` lacks; each leaves a line there and a checkpoint in the folder."""
    config, program = job.header.config, job.program
    _, key_step = _keys(config)
    batch_seconds = None
    for epoch in range(len(metrics) + 1, config.epochs + 1):
        started = time.perf_counter()
        mode = config.train_mode == "every-epoch" or epoch == 1
        rows = training.epoch_rows(config.seed, epoch, len(data[0]), config.batch_size)
        rate = _rounded(program.learning_rate(state, len(rows)))
        with job.screen.bar(f"epoch {epoch}/{config.epochs}", len(rows)) as progress:
            state, train_loss, train_accuracy = _train_epoch(program, mode, state, (key_step, *data), rows, progress)
        trained = time.perf_counter() - started
        val_loss, val_accuracy, _ = evaluate(program, state.variables, val)
        seconds = time.perf_counter() - started
        batch_seconds = batch_seconds or _batch_seconds(program, key_step, data[0], rows[0])
        line = {
            "epoch": epoch,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "learning_rate": rate,
            "images_per_second": round(rows.size / trained, 1),
            "seconds": round(seconds, 3),
            **_shares(len(rows) * batch_seconds, trained, seconds),
        }
        if not math.isfinite(train_loss + val_loss):
            raise InputError(_diverged(job, line, int(state.step)))
        state = program.end_epoch(state, val_loss)
        _keep(job, functools.partial(_keep_epoch, job.folder, state, [*metrics, line]))
        metrics.append(line)
        job.screen.line(_epoch_line(line, config))
    return state


def _keep_epoch(folder, state, metrics):
    epoch = metrics[-1]["epoch"]
    write_metrics(folder, metrics)
    checkpoint.save(folder / "checkpoints", epoch, state, {epoch, best_epoch(metrics)})


def _diverged(job, line, step):
    epoch, config = line["epoch"], job.header.config
    kept = f"the checkpoint of epoch {epoch - 1} is kept in {job.folder}" if epoch > 1 else "nothing was kept"
    return (
        f"the loss stopped being finite in epoch {epoch}, step {step} (train {line['train_loss']}, "
        f"{config.steer} {line['val_loss']}); {kept}; a lower learning_rate than {config.learning_rate} may help"
    )


def _batch_seconds(program, key, images, rows):
    """Seconds that the pictures of a batch take, made by themselves: within a step they cannot be told apart."""

    def once():
        started = time.perf_counter()
        jax.block_until_ready(program.batch(key, images, devices.deal(rows)))
        return time.perf_counter() - started

    once()  # compiles
    return statistics.median(once() for _ in range(BATCHES_TIMED))


def _shares(augmenting, training, seconds):
    """Parts of an epoch's seconds, which add up to 1."""
    shares = {
        "augmentation_share": min(augmenting, training) / seconds,
        "step_share": max(training - augmenting, 0) / seconds,
        "evaluation_share": 1 - training / seconds,
    }
    return {name: round(share, 3) for name, share in shares.items()}


def _train_epoch(program, mode, state, inputs, rows, progress):
    """One epoch; ends early when a loss is not finite. The host stays a few calls ahead of the device, not more."""
    in_flight, sums, done = collections.deque(), np.zeros(3), 0

    def settle():
        nonlocal sums, done
        tally = [np.asarray(column, np.float64) for column in in_flight.popleft()]
        sums, done = sums + [column.sum() for column in tally], done + tally[0].size
        progress(done)

    for batches in _calls(rows, program.steps_in_call):
        take = program.step if batches.ndim == 1 else program.steps
        state, tally = devices.settle(take[mode](state, *inputs, devices.deal(batches)))
        in_flight.append(tally)
        if len(in_flight) > CALLS_IN_FLIGHT:
            settle()
            if not math.isfinite(sums[0]):
                break
    while in_flight:
        settle()
    return state, sums[0] / sums[2], sums[1] / sums[2]


def _calls(rows, count):
    """The rows [S, B] of an epoch as its calls take them: `count` steps at once, [count, B], then single ones, [B]."""
    whole = len(rows) // count * count if count > 1 else 0
    return [*rows[:whole].reshape(-1, count, rows.shape[1]), *rows[whole:]]


def _test(job: _Job, state: training.TrainState, metrics: list[dict[str, Any]], test: Split) -> None:
    """Reads the test set, once, with the weights that the configuration says, and writes `result.json`."""
    config = job.header.config
    tested = best_epoch(metrics) if config.keep == "best" else len(metrics)
    variables = state.variables
    if tested != len(metrics):
        like = _template(job.program).variables
        variables = devices.share(lambda: checkpoint.restore(job.folder / "checkpoints", tested, like))
    loss, accuracy, _ = evaluate(job.program, variables, test)
    result = {
        "test_loss": loss,
        "test_accuracy": accuracy,
        "best_epoch": best_epoch(metrics),
        "tested_epoch": tested,
        "epochs": len(metrics),
        "steered_by": config.steer,
        "dataset": config.dataset,
        "dataset_hash": job.header.dataset_hash,
        "attention": config.attention,
        "recipe": config.recipe,
        "seed": config.seed,
        "parameters": _count(state.params),
        "seconds": round(sum(line["seconds"] for line in metrics), 3),
        "versions": {
            "jax": jax.__version__,
            "flax": flax.__version__,
            "optax": optax.__version__,
            "python": platform.python_version(),
        },
        "device": _device(),
    }
    _keep(job, lambda: write_json(job.folder / "result.json", result))


def _rounded(value: jax.Array) -> float:
    """A float32 as the shortest decimal that means it: 0.001, not 0.0010000000474974513."""
    return float(str(np.float32(value)))


def _count(params) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _device() -> str:
    device = jax.local_devices()[0]
    return f"{jax.device_count()} x {device.device_kind} ({device.platform}, {platform.machine()})"


def _default_folder(config: Config) -> Path:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = config.attention.replace(":", "-")
    return Path("runs", f"{stamp}-{config.dataset}-{name}-s{config.seed}")


def _resume_command(folder: Path) -> str:
    return f"python -m jaxattn.train --resume {folder}"


def _headline(config, sizes, state):
    train, val, test = sizes
    steered = "validation" if config.steer == "validation" else "the TEST set (as the tutorial does)"
    return (
        f"{config.recipe} recipe, attention {config.attention}, {_count(state.params):,} parameters, on {_device()}\n"
        f"{config.dataset}: {train:,} pictures to train on, {val:,} steer ({steered}), {test:,} test"
    )


def _epoch_line(line, config):
    steer = "val" if config.steer == "validation" else "TEST"
    return (
        f"epoch {line['epoch']:3d}/{config.epochs}"
        f"  train loss {line['train_loss']:.4f} acc {line['train_accuracy']:.2%}"
        f"  {steer} loss {line['val_loss']:.4f} acc {line['val_accuracy']:.2%}  lr {line['learning_rate']:.2e}"
        f"  {line['images_per_second']:,.0f} images/s"
    )


def _report_result(run, screen):
    result = run.result
    screen.line(
        f"test accuracy {result['test_accuracy']:.2%}, loss {result['test_loss']:.4f} nats "
        f"({result['dataset']}, epoch {result['tested_epoch']} of {result['epochs']})",
        style="bold",
    )
    if result["steered_by"] == "test":
        screen.line("the test set steered this run: its accuracy is not that of unseen pictures")
    screen.line(f"everything is in {run.folder}")
