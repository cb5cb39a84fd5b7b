"""What may watch a run: notified of every epoch once its checkpoint is written, and unable to stop training."""

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
    Variables are NumPy arrays, those that are evaluated.
    """

    def begin(self, folder: Path, manifest: Manifest | None, console: Console) -> None:
        """Before anything in the run folder is read: an observer may restore epochs in it.

        Args:
            folder: of the run; it need not be there.
            manifest: of the run; None where it is resumed by its folder alone, after which it is called again.
            console: where lines go.

        Raises:
            InputError: which ends the run before it begins.
        """

    def start(self, run: Run, test: Split) -> None:
        """Before the first epoch that is left to train: `run` as it was resumed, at epoch 0 if it is new."""

    def epoch(self, run: Run) -> None:
        """After the checkpoint of an epoch is written; its metrics are the last of `run.metrics`."""

    def end(self, run: Run) -> None:
        """At the end: `run` is finished and has its result."""


class Observers(Observer):
    """Several observers as one. Whatever one of them raises, training continues, after one warning for each."""

    def __init__(self, observers: Sequence[Observer], console: Console):
        self._all, self._console, self._failed = observers, console, set[int]()

    def begin(self, folder: Path, manifest: Manifest | None, console: Console) -> None:
        """Tells each; what they raise is raised."""
        for observer in self._all:
            observer.begin(folder, manifest, console)

    def start(self, run: Run, test: Split) -> None:
        """Tells each."""
        self._notify("start", run, test)

    def epoch(self, run: Run) -> None:
        """Tells each."""
        self._notify("epoch", run)

    def end(self, run: Run) -> None:
        """Tells each."""
        self._notify("end", run)

    def __bool__(self) -> bool:
        """Whether there are any: a run copies its variables from the device for them."""
        return bool(self._all)

    def _notify(self, event, run, *more):
        folder = run.folder
        for i, observer in enumerate(self._all):
            try:
                getattr(observer, event)(run, *more)
            except Exception as error:  # whatever it is: a run does not depend on who watches it
                if i not in self._failed:
                    where = f" (see {folder / TRACEBACK})" if keep_traceback(folder, error) else ""
                    name = type(observer).__name__
                    self._console.warn(f"{name} failed: {first_line(error)}; training continues{where}")
                self._failed.add(i)
