"""What a comparison prints while it trains: in a terminal a live table, elsewhere a line for each finished run."""

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, final

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from jaxattn.comparison.plan import Plan
from jaxattn.config import Config
from jaxattn.runs.console import Console
from jaxattn.runs.failure import Failure


@final
class Progress:
    """The progress of a comparison: runs done and mean accuracy by variant, and the time left."""

    def __init__(
        self, plan: Plan, accuracies: dict[str, dict[int, float]], failures: dict[str, dict[int, Failure]],
        console: Console,
    ):  # fmt: skip
        """Takes what exists already, by variant and seed: test accuracies (fractions), and failed runs."""
        self._plan, self._console = plan, console
        self._accuracies = {variant: dict(accuracies.get(variant, {})) for variant in plan.variants}
        self.failures = {variant: dict(failures.get(variant, {})) for variant in plan.variants}
        self._lock = threading.Lock()  # not held while printing: the live table prints and takes it, too
        self._running: dict[Config, str] = {}
        self._started = time.monotonic()
        self._finished, self._elapsed = 0, 0.0  # runs, and the seconds until the last of them
        self._at_once = 1  # the most runs that were seen to run
        self.stopped = threading.Event()

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """The context in which the table is on the screen, in a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=self._table, console=self._console.rich_console, refresh_per_second=4, transient=True):
            yield

    def console(self, config: Config) -> Console:
        """The console of one run: its bar becomes a line under the table, its own lines are not printed."""
        return _RunConsole(self, config)

    def warn(self, text: str) -> None:
        """Prints a highlighted warning."""
        self._console.warn(text)

    def tell(self, config: Config, text: str) -> None:
        """Says what a run is doing.

        Raises:
            KeyboardInterrupt: if the comparison was stopped.
        """
        if self.stopped.is_set():
            raise KeyboardInterrupt
        with self._lock:
            self._running[config] = text
            self._at_once = max(self._at_once, len(self._running))

    def finished(self, config: Config, result: dict[str, Any]) -> None:
        """Adds a finished run, from its `result.json`."""
        with self._lock:
            self._accuracies[self._plan.variant_of(config)][config.seed] = result["test_accuracy"]
            self._finished, self._elapsed = self._finished + 1, time.monotonic() - self._started
            line = self._ended(config, f"{result['test_accuracy']:.2%}")
        self._console.line(line)

    def failed(self, config: Config, failure: Failure) -> None:
        """Adds a run that failed."""
        with self._lock:
            self.failures[self._plan.variant_of(config)][config.seed] = failure
            line = self._ended(config, f"failed: {failure.reason}")
        self._console.line(line)

    def _ended(self, config: Config, text: str) -> str:
        """Removes an ended run from the running ones, and returns the line about it."""
        self._running.pop(config, None)
        runs = self._plan.count
        return f"[{runs - self._missing()}/{runs}] {self._name(config)}: {text}   {self._time_left()}"

    def _name(self, config: Config) -> str:
        return f"{self._plan.variant_of(config)} seed {config.seed}"

    def _missing(self) -> int:
        ended = sum(len(self._accuracies[variant]) + len(self.failures[variant]) for variant in self._plan.variants)
        return self._plan.count - ended

    def _time_left(self) -> str:
        missing = self._missing()
        if not missing:
            return "all runs are done"
        if not self._finished:
            return ""
        minutes = missing * self._elapsed / max(self._finished, self._at_once) / 60  # at first, others run as long
        return f"about {minutes:.0f} min left" if minutes >= 1 else "less than a minute left"

    def _table(self):
        """What the live display draws, in its own thread."""
        table = Table("variant", "runs done", "mean test accuracy", box=None, padding=(0, 2, 0, 0))
        with self._lock:
            for variant, done in self._accuracies.items():
                mean = f"{statistics.mean(done.values()):.2%}" if done else ""
                failed = f", {len(self.failures[variant])} failed" if self.failures[variant] else ""
                table.add_row(variant, f"{len(done)} of {self._plan.seeds}{failed}", mean)
            running = [f"{self._name(config)}: {text}" for config, text in self._running.items()]
            return Group(table, Text("\n".join([*running, self._time_left()])))


@final
class _RunConsole(Console):
    """The console of a run in a comparison: warnings go to the comparison's console, progress into its table."""

    def __init__(self, progress: Progress, config: Config):
        self._progress, self._config = progress, config

    def line(self, text: str, style: str = "") -> None:
        """Prints nothing: the run's own lines are in its folder."""

    def warn(self, text: str) -> None:
        """Prints a highlighted warning."""
        self._progress.warn(text)

    @contextlib.contextmanager
    def bar(self, epochs: int, steps: int) -> Iterator[Callable[[int, int], Any]]:
        """Reports the progress of the run to the comparison."""
        started = time.perf_counter()

        def tell(epoch, step):
            share = ((epoch - 1) * steps + step) / (epochs * steps)
            spent = time.perf_counter() - started
            self._progress.tell(self._config, f"epoch {epoch} of {epochs}, {share:.0%}, {spent:.0f} s")

        self._progress.tell(self._config, "compiling")
        yield tell
