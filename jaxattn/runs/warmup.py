"""The first seconds of a run: the training step is compiled while the data is read."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import jax

from jaxattn.config import Config
from jaxattn.data import shapes
from jaxattn.data.dataset import nowhere
from jaxattn.data.spec import Spec
from jaxattn.data.splits import Splits
from jaxattn.paths import local_path
from jaxattn.runs import checkpoint, compiled
from jaxattn.runs.console import Console
from jaxattn.runs.data import find, held_out, load_data, reading, with_absolute_paths
from jaxattn.training import devices
from jaxattn.training.processes import agree
from jaxattn.training.program import Program
from jaxattn.training.state import TrainState


def load_and_init(
    config: Config, out: str | Path | None, console: Console, build: compiled.Build
) -> tuple[Config, Splits, Callable[[], TrainState | None]]:
    """The configuration with its data, and a function that waits for a new run's initial state.

    The data is read in a thread. If its facts are known in advance, the network is checked meanwhile, and the programs
    of a new run's initial state and of its training step are compiled. Otherwise the function returns None.

    Args:
        config: what to train.
        out: the run folder; None for a new one.
        console: where lines go.
        build: makes the program; the same arguments must give the same program.

    Raises:
        InputError: if the configuration or the data cannot be used.
    """
    config = with_absolute_paths(config)
    dataset, early = find(config), None
    folder = local_path(config.data_dir, "data_dir")
    with reading(config, folder):
        is_here = dataset.find is nowhere or dataset.find(folder) is not None
    spec = dataset.spec
    # Several processes would have to agree on the order of their programs; a thread would not keep to a single device.
    alone = jax.process_count() == 1 and devices.count() == jax.device_count()
    is_new = out is None or not checkpoint.epochs(Path(out) / "checkpoints")
    if spec is None or not is_here:  # a download or a new folder takes long: find wrong names first
        build(config, spec or shapes.SPEC, 1)
    with reading(config, folder):
        dataset.prepare(folder)
    loading = _in_background(lambda: load_data(config, dataset, console)) if alone else None
    early_program = None if spec is None else _checked(config, build, spec)
    if alone and is_new and is_here and spec and early_program and _training(config, spec) >= config.batch_size:
        early = compiled.compile_and_init(early_program, config, (_training(config, spec), *spec.image_shape))
    if loading is not None:
        config, splits = loading.result()
    else:
        config, splits = agree(lambda: load_data(config, dataset, console), lambda loaded: loaded[1].digest())
    if splits.spec != spec:  # another number of images, or the data set that is used instead
        _checked(config, build, splits.spec)
        early = None
    for note in splits.spec.notes:
        console.line(note)
    return config, splits, lambda: _result(early)


def _training(config: Config, spec: Spec) -> int:
    """The number of training images."""
    return (spec.train or 0) - held_out(config, spec.train or 0)


def _checked(config: Config, build: compiled.Build, spec: Spec) -> Program:
    """The program of a run.

    Raises:
        InputError: if its network cannot be trained.
    """
    program = build(config, spec, max(_training(config, spec) // config.batch_size, 1))
    compiled.check(config, program, spec.image_shape)
    return program


def _in_background(work: Callable[[], Any]) -> Future[Any]:
    """Runs `work` in a daemon thread, so that stopping does not wait for it: a download takes minutes."""
    result: Future[Any] = Future()

    def run():
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result


def _result(early: Future[TrainState] | None) -> TrainState | None:
    return None if early is None else early.result()
