"""Trains the runs of a comparison in this process, on all devices at once."""

import concurrent.futures
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from jaxattn.comparison.progress import Progress
from jaxattn.config import Config
from jaxattn.observers.mirror import Mirror
from jaxattn.runs.compiled import cached_build
from jaxattn.runs.failure import forget, is_of_this_run, record_once
from jaxattn.runs.fit import fit
from jaxattn.runs.run import Run
from jaxattn.training import devices

Runs = Sequence[tuple[Path, Config]]  # the folder of each run and its configuration, in the order of training


def train(runs: Runs, progress: Progress, mirror: Path | None = None, accept_changed_code: bool = False) -> list[Path]:
    """Trains runs one after the other or, with several devices, one on each. A failed run does not stop the others.

    Args:
        runs: the runs to train.
        progress: notified of finished and failed runs.
        mirror: a folder with a mirror of each run in it.
        accept_changed_code: as for `fit`.

    Returns:
        Folders of runs that another process is training.

    Raises:
        InputError: if a folder cannot be used.
    """
    left, build = iter(runs), cached_build()

    def one(path, config):
        observers = () if mirror is None else (Mirror(mirror / path.name),)
        return fit(config, path, progress.console(config), build, observers, accept_changed_code)

    if jax.device_count() == 1:
        return _train_all(left, one, progress)
    with concurrent.futures.ThreadPoolExecutor(jax.device_count()) as pool:
        try:
            work = [pool.submit(_on_device, device, left, one, progress) for device in jax.devices()]
            concurrent.futures.wait(work, return_when=concurrent.futures.FIRST_EXCEPTION)
            for one_failed in (done for done in work if done.done()):
                one_failed.result()
            return [path for done in work for path in done.result()]
        except BaseException:
            progress.stopped.set()  # the other devices' runs stop, too
            raise


def _on_device(device: Any, runs: Iterator, one: Callable[..., Run], progress: Progress) -> list[Path]:
    with devices.only(device):
        return _train_all(runs, one, progress)


def _train_all(runs: Iterator[tuple[Path, Config]], one: Callable[..., Run], progress: Progress) -> list[Path]:
    in_use = []
    for path, config in runs:
        forget(path)
        try:
            done = one(path, config)
        except Exception as error:
            if isinstance(error.__cause__, BlockingIOError):
                in_use.append(path)
            elif is_of_this_run(error):
                progress.failed(config, record_once(path, error))
            else:
                raise
        else:
            progress.finished(config, done.result or {})
    return in_use
