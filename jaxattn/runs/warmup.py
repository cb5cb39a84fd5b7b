"""The first seconds of a run: the training step is compiled while the data is decoded."""

import concurrent.futures
from collections.abc import Callable
from pathlib import Path

import jax

from jaxattn.config import Config
from jaxattn.data import USUAL
from jaxattn.data.announce import Listener, announced_to
from jaxattn.data.splits import Splits
from jaxattn.runs import checkpoint, compiled
from jaxattn.runs.console import Console
from jaxattn.runs.data import held_out, load_data
from jaxattn.training import devices
from jaxattn.training.processes import agree
from jaxattn.training.state import TrainState


def load_and_init(
    config: Config, out: str | Path | None, console: Console, build: compiled.Build
) -> tuple[Config, Splits, Callable[[], TrainState | None]]:
    """The configuration with its data, and a function that waits for a new run's initial state.

    Where the loader announces what it loads, the programs of the initial state and of the training step are compiled
    while images are decoded. Else, or where a run is resumed, the function gives None.

    Args:
        config: what to train.
        out: the run folder; None for a new one.
        console: where lines go.
        build: makes the program, the same one for the same arguments.

    Raises:
        InputError: where the configuration or the data cannot be used.
    """
    # Wrong names and modules are found before the data is loaded; for the usual data, this program is then trained.
    classes, shape, count = USUAL
    steps = max((count - held_out(config, count)) // config.batch_size, 1)
    compiled.check(config, build(config, classes, shape, steps), shape)
    # Several processes would have to agree on the order of their programs, and threads on devices of their own differ.
    alone = jax.process_count() == 1 and devices.count() == jax.device_count()
    is_new = out is None or not checkpoint.epochs(Path(out) / "checkpoints")
    states: dict[tuple, concurrent.futures.Future[TrainState]] = {}
    pool = concurrent.futures.ThreadPoolExecutor(1)

    def announced(classes, shape, count):
        training = count - held_out(config, count)
        if alone and is_new and not states and training >= config.batch_size:
            program = build(config, classes, shape, training // config.batch_size)
            states[classes, shape, count] = compiled.compile_and_init(program, config, (training, *shape), pool)

    with announced_to(Listener(announced, later=pool.submit)):
        config, splits = agree(lambda: load_data(config, console), lambda loaded: loaded[1].digest())
    pool.shutdown(wait=False)
    early = states.get((len(splits.classes), splits.train.images.shape[1:], len(splits.train)))
    return config, splits, lambda: early.result() if early else None
