"""The first seconds of a run: the data is read while the initial state is compiled."""

import concurrent.futures
from collections.abc import Callable
from pathlib import Path

import jax

from jaxattn import runtime
from jaxattn.config import Config
from jaxattn.data.splits import Splits
from jaxattn.runs import checkpoint
from jaxattn.runs.console import Console
from jaxattn.runs.data import load_data
from jaxattn.training import loop
from jaxattn.training.processes import agree
from jaxattn.training.program import Program, template
from jaxattn.training.state import TrainState

USUAL = 10, (32, 32, 3)  # classes and image shape


def load_and_init(
    config: Config, out: str | Path | None, console: Console, build: Callable[..., Program]
) -> tuple[Config, Splits, TrainState | None]:
    """The configuration with its data, and a new run's initial state, computed while the data is read.

    The state is None where a run is resumed, or the images are not of the usual shape.

    Args:
        config: what to train.
        out: the run folder; None for a new one.
        console: where lines go.
        build: makes the program.

    Raises:
        InputError: where the configuration or the data cannot be used.
    """
    usual = build(config, *USUAL, 1)
    template(usual)  # wrong names and modules are found before the data is loaded
    # Several processes would have to agree on the order of their programs.
    is_new = jax.process_count() == 1 and (out is None or not checkpoint.epochs(Path(out) / "checkpoints"))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        early = pool.submit(_init, usual, config) if is_new else None
        config, splits = agree(lambda: load_data(config, console), lambda loaded: loaded[1].digest())
    shape = len(splits.classes), splits.train.images.shape[1:]
    return config, splits, early.result() if early and shape == USUAL else None


def _init(program: Program, config: Config) -> TrainState:
    with runtime.LOADING_TFDS:
        return program.init(loop.keys(config)[0])
