"""The loop over epochs: it keeps the device busy, and yields the state and the metrics after each epoch."""

import collections
import functools
import math
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxattn.config import Config
from jaxattn.data.splits import Split
from jaxattn.errors import DivergenceError
from jaxattn.training import devices
from jaxattn.training.batch import epoch_rows
from jaxattn.training.evaluation import evaluate, fill_of
from jaxattn.training.feed import Data
from jaxattn.training.program import Program
from jaxattn.training.state import TrainState

Metrics = dict[str, Any]
Progress = Callable[[int, int], Any]

CALLS_IN_FLIGHT = 2
BATCHES_TIMED = 5


def train(
    program: Program, config: Config, state: TrainState, data: Data, monitored: Split, done: int, progress: Progress
) -> Iterator[tuple[TrainState, Metrics]]:
    """Trains the epochs after `done`; each yields the state and a dict of metrics, as in `metrics.jsonl`.

    A yielded state is donated to the next epoch: use it before requesting the next one.

    Args:
        program: of `config`.
        config: what to train.
        state: after epoch `done`.
        data: the training data.
        monitored: the split whose loss and accuracy are measured after each epoch; none if it is empty.
        done: complete epochs so far.
        progress: called with the epoch and the number of its finished steps.

    Raises:
        DivergenceError: if the loss stops being finite.
    """
    _, key = keys(config)
    batch_seconds = None
    for epoch in range(done + 1, config.epochs + 1):
        started = time.perf_counter()
        train_mode = config.train_mode == "every-epoch" or epoch == 1
        rows = epoch_rows(config.seed, epoch, data.count, config.batch_size)
        tell = functools.partial(progress, epoch)
        state, loss, accuracy = _epoch(program, train_mode, state, key, data, rows, tell)
        trained = time.perf_counter() - started
        rate = _shortest(program.learning_rate(state))
        losses = {"train_loss": loss, "train_accuracy": accuracy}
        if len(monitored):
            loss, accuracy, _ = evaluate(program.evaluate, state.variables, monitored, fill_of(program.model))
            losses |= {"val_loss": loss, "val_accuracy": accuracy}
        seconds = time.perf_counter() - started
        if not math.isfinite(sum(losses.values())):
            raise _diverged(config, epoch, int(state.step), losses)
        batch_seconds = batch_seconds or _batch_seconds(program, (key, state.step, *data.batch(rows[0])))
        state = program.end_epoch(state, losses.get("val_loss", 0.0))
        speed = {"images_per_second": round(rows.size / trained, 1), "seconds": round(seconds, 3)}
        shares = _shares(len(rows) * batch_seconds, trained, seconds)
        yield state, {"epoch": epoch, **losses, "learning_rate": rate, **speed, **shares}


def keys(config: Config) -> jax.Array:
    """Two keys [2]: for the weights; for augmentation and dropout."""
    return jax.random.split(jax.random.key(config.seed))


def _epoch(program, train_mode, state, key, data, rows, progress):
    """One epoch; ends early when a loss is not finite. The host stays only a few calls ahead of the device."""
    in_flight, sums, done = collections.deque(), np.zeros(3), 0

    def collect():
        nonlocal sums, done
        tally = [np.asarray(column, np.float64) for column in in_flight.popleft()]
        sums, done = sums + [column.sum() for column in tally], done + tally[0].size
        progress(done)

    for images, labels, *batches in data.calls(rows, program.steps_in_call):
        step = program.step if batches[0].ndim == 1 else program.steps
        state, tally = devices.synchronise(step[train_mode](state, key, images, labels, *batches))
        in_flight.append(tally)
        if len(in_flight) > CALLS_IN_FLIGHT:
            collect()
            if not math.isfinite(sums[0]):
                break
    while in_flight:
        collect()
    return state, sums[0] / sums[2], sums[1] / sums[2]


def _diverged(config, epoch, step, losses):
    remains = f"the checkpoint of epoch {epoch - 1} is kept" if epoch > 1 else "nothing was kept"
    values = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
    text = f"the loss stopped being finite in epoch {epoch}, step {step} ({values}); {remains}; "
    return DivergenceError(f"{text}a new run with a lower learning_rate than {config.learning_rate} may help")


def _batch_seconds(program, inputs):
    """Seconds to augment one batch, measured alone, since they cannot be separated within a step."""

    def once():
        started = time.perf_counter()
        jax.block_until_ready(program.batch(*inputs))
        return time.perf_counter() - started

    once()  # compiles
    return statistics.median(once() for _ in range(BATCHES_TIMED))


def _shares(augmentation, training, total):
    """Fractions of an epoch's seconds, which add up to 1."""
    shares = {
        "augmentation_share": min(augmentation, training) / total,
        "step_share": max(training - augmentation, 0) / total,
        "evaluation_share": 1 - training / total,
    }
    return {name: round(share, 3) for name, share in shares.items()}


def _shortest(value: jax.Array) -> float:
    """A float32 as the shortest decimal that rounds to it: 0.001, not 0.0010000000474974513."""
    return float(str(np.float32(value)))
