"""Observers of a run: notified of every epoch once its checkpoint is written, and unable to stop training."""

from collections.abc import Sequence
from pathlib import Path

from jaxattn.data.splits import Split
from jaxattn.errors import first_line
from jaxattn.runs.console import Console
from jaxattn.runs.failure import TRACEBACK, keep_traceback
from jaxattn.runs.manifest import Manifest
from jaxattn.runs.run import Run


class Observer:
    """Watches a run; a subclass overrides what it needs.

    Every method is called in the first process only, and all but `begin` while nothing else writes to the run folder.
    Variables are NumPy arrays: those used for evaluation.
    """

    def begin(self, folder: Path, manifest: Manifest | None, console: Console) -> None:
        """Called before anything in the run folder is read: an observer may restore epochs in it.

        Args:
            folder: the run folder; it need not exist.
            manifest: of the run; None if only the folder is known, on resume; the method is then called again later.
            console: where lines go.

        Raises:
            InputError: to end the run before it begins.
        """

    def start(self, run: Run, test: Split) -> None:
        """Called before the first epoch that is left to train, with the run as it was resumed, or at epoch 0."""

    def epoch(self, run: Run) -> None:
        """Called after the checkpoint of an epoch is written; its metrics are the last of `run.metrics`."""

    def end(self, run: Run) -> None:
        """Called at the end: `run` is finished and has its result."""


class Observers(Observer):
    """Several observers as one. If one of them raises an error, it is warned about once, and training continues."""

    def __init__(self, observers: Sequence[Observer], console: Console):
        self._all, self._console, self._failed = observers, console, set[int]()

    def begin(self, folder: Path, manifest: Manifest | None, console: Console) -> None:
        """Notifies each; their errors are not caught."""
        for observer in self._all:
            observer.begin(folder, manifest, console)

    def start(self, run: Run, test: Split) -> None:
        """Notifies each."""
        self._notify("start", run, test)

    def epoch(self, run: Run) -> None:
        """Notifies each."""
        self._notify("epoch", run)

    def end(self, run: Run) -> None:
        """Notifies each."""
        self._notify("end", run)

    def __bool__(self) -> bool:
        """Whether there are any: only then does a run copy its variables from the device."""
        return bool(self._all)

    def _notify(self, event, run, *more):
        folder = run.folder
        for i, observer in enumerate(self._all):
            try:
                getattr(observer, event)(run, *more)
            except Exception as error:  # any error: a run does not depend on its observers
                if i not in self._failed:
                    where = f" (see {folder / TRACEBACK})" if keep_traceback(folder, error) else ""
                    name = type(observer).__name__
                    self._console.warn(f"{name} failed: {first_line(error)}; training continues{where}")
                self._failed.add(i)
