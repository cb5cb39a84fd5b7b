"""Programs that are compiled once, and ahead of time."""

import dataclasses
import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import jax
import numpy as np

from jaxattn.config import Config
from jaxattn.errors import InputError
from jaxattn.runs import checkpoint
from jaxattn.runs.code import own_classes
from jaxattn.training import devices, feed, loop
from jaxattn.training.batch import epoch_rows
from jaxattn.training.check import check_network
from jaxattn.training.program import Program, build, ingredients, template
from jaxattn.training.state import TrainState

Build = Callable[..., Program]


def cached_build() -> Build:
    """A `build` that shares a program between configurations that differ only in seed, data and initial weights."""
    remembered = functools.cache(build)
    return lambda config, *sizes: remembered(
        dataclasses.replace(config, seed=0, dataset=None, data_dir="", init=None), *sizes
    )


def check(config: Config, program: Program, shape: tuple[int, int, int]) -> None:
    """Checks in advance that a program's network can be trained, tested and saved; only shapes are computed.

    Args:
        config: what to train.
        program: the program of the configuration.
        shape: shape of an image, (H, W, 3).

    Raises:
        InputError: if it cannot.
    """
    if config.cutout >= min(shape[:2]):
        raise InputError(
            f"cutout must be less than the {min(shape[:2])} pixels of an image's shorter side, got {config.cutout}",
            "cutout",
        )
    if own := own_classes(config):
        what = f"network {config.network}" if own == [config.network] else f"attention {config.attention}"
        check_network(program.model, what, shape, config.batch_size)
    ingredients(config, program)
    checkpoint.check(template(program))


def compile_and_init(program: Program, config: Config, shape: tuple[int, ...]) -> Future[TrainState]:
    """Compiles the first programs of a run, for training images [N, H, W, 3], and computes the initial state.

    Tracing and lowering are Python code and run here; a thread compiles the initial state's program while the step is
    lowered, and then the step. If a program does not compile, its first call raises.

    Args:
        program: the program of the configuration.
        config: what to train.
        shape: shape of the training images.
    """
    key, key_of_steps = jax.eval_shape(lambda: tuple(loop.keys(config)))
    rows = epoch_rows(config.seed, 1, shape[0], config.batch_size)
    batches = feed.calls(rows, program.steps_in_call)[0]
    step = program.step if batches.ndim == 1 else program.steps
    inputs = template(program), jax.ShapeDtypeStruct(shape, np.uint8), jax.ShapeDtypeStruct(shape[:1], np.int32)
    state, images, labels = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=devices.replicated()), inputs
    )
    pool = ThreadPoolExecutor(1)  # runs its tasks in order
    pool.submit(program.init.lower(key).compile)
    pool.submit(step[True].lower(state, key_of_steps, images, labels, devices.shard(batches)).compile)
    early = pool.submit(lambda: program.init(loop.keys(config)[0]))
    pool.shutdown(wait=False)
    return early
