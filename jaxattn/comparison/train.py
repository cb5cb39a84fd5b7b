"""Trains the runs of a plan that are not finished: here, on several devices at once, or as jobs of a cluster."""

import concurrent.futures
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from jaxattn.comparison.plan import Plan
from jaxattn.comparison.progress import Progress
from jaxattn.config import Config
from jaxattn.errors import InputError, Interrupted
from jaxattn.observers.mirror import Mirror
from jaxattn.runs.compiled import cached_build
from jaxattn.runs.fit import fit
from jaxattn.runs.run import Run
from jaxattn.runs.store import read_result
from jaxattn.training import devices


def unfinished(folder: Path, plan: Plan) -> list[tuple[Path, Config]]:
    """The runs of a plan that have no result yet: folders and configurations, in the order of training."""
    runs = [(folder / name, config) for name, config in plan.runs()]
    return [(path, config) for path, config in runs if read_result(path) is None]


def train(folder: Path, plan: Plan, progress: Progress, mirror: Path | None = None) -> list[Path]:
    """Trains what is not finished, one run after the other, or one on each device where there are several.

    Args:
        folder: of the comparison.
        plan: which runs.
        progress: shows them.
        mirror: a folder with a mirror of each run in it.

    Returns:
        Folders of runs that another process is training.

    Raises:
        InputError: as `fit`.
        Interrupted: on Ctrl-C; what was trained is kept.
    """
    runs, build = iter(unfinished(folder, plan)), cached_build()

    def one(path, config):
        observers = () if mirror is None else (Mirror(mirror / path.name),)
        return fit(config, path, progress.console(config), build, observers)

    try:
        if jax.device_count() == 1:
            return _train_all(runs, one, progress)
        with concurrent.futures.ThreadPoolExecutor(jax.device_count()) as pool:
            try:
                work = [pool.submit(_on_device, device, runs, one, progress) for device in jax.devices()]
                return [path for done in work for path in done.result()]
            except BaseException:
                progress.stopped.set()  # the other devices' runs stop, too
                raise
    except KeyboardInterrupt as error:
        raise Interrupted(folder, len(plan.runs()) - len(unfinished(folder, plan)), "compare") from error


def _on_device(device: Any, runs: Iterator, one: Callable[..., Run], progress: Progress) -> list[Path]:
    with devices.only(device):
        return _train_all(runs, one, progress)


def _train_all(runs: Iterator[tuple[Path, Config]], one: Callable[..., Run], progress: Progress) -> list[Path]:
    taken = []
    for path, config in runs:
        try:
            done = one(path, config)
        except InputError as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            taken.append(path)
        else:
            progress.finished(config, done.result or {})
    return taken
