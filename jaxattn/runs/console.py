"""What a run prints: lines always, a live bar only in a terminal."""

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, final

import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Console:
    """Lines and bars on standard output.

    Without a terminal: no bar, no colour, one plain line each. In a notebook, the bar is a separate output.
    """

    def __init__(self, quiet: bool = False):
        """`quiet` prints nothing."""
        self._notebook = not quiet and _in_notebook()
        # A notebook's output claims to be a terminal, but cannot move a cursor.
        self._console = rich.console.Console(
            quiet=quiet, highlight=False, soft_wrap=True, emoji=False, force_jupyter=False,
            force_terminal=False if self._notebook else None,
        )  # fmt: skip

    @property
    def rich_console(self) -> rich.console.Console:
        """Rich's console, for live tables."""
        return self._console

    @contextlib.contextmanager
    def showing_log(self) -> Iterator[None]:
        """Within this context, the package's log is printed here, unless another console already prints it."""
        logger = logging.getLogger("jaxattn")
        if any(isinstance(handler, _Log) for handler in logger.handlers):
            yield
            return
        handler, level, propagate = _Log(self), logger.level, logger.propagate
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # other packages give the root logger a handler, which would print each line again
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate

    @property
    def is_terminal(self) -> bool:
        """Whether the output is a terminal."""
        return self._console.is_terminal

    def line(self, text: str, style: str = "") -> None:
        """Prints one line."""
        self._console.print(text, style=style, markup=False)

    def note(self, text: str) -> None:
        """Prints one line about what is in progress: in a terminal only."""
        if self.is_terminal:
            self.line(text)

    def warn(self, text: str) -> None:
        """Prints a highlighted warning."""
        rule = "!" * 78
        self._console.print(f"{rule}\nWARNING: {text}\n{rule}", style="bold yellow", markup=False)

    @contextlib.contextmanager
    def bar(self, epochs: int, steps: int) -> Iterator[Callable[[int, int], Any]]:
        """A live progress bar over `epochs` epochs of `steps` steps, with the time left.

        Yields the function to call with the epoch and its finished steps; until then, the bar shows "compiling".
        """
        if self._notebook:
            bar = _NotebookBar(epochs, steps)
            yield bar
            bar.show("")
            return
        if not self._console.is_terminal:
            yield lambda epoch, step: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task("compiling", total=epochs * steps)
            yield lambda epoch, step: progress.update(
                task, completed=(epoch - 1) * steps + step, description=f"epoch {epoch}/{epochs}"
            )


@final
class _Log(logging.Handler):
    """Prints each record as one line; Rich's own handler wraps and pads them."""

    def __init__(self, console: Console):
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.line(self.format(record))


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this process: Jupyter's or Colab's."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and type(ipython.get_ipython()).__name__ in ("ZMQInteractiveShell", "Shell")


@final
class _NotebookBar:
    """A bar that is one output of the cell, replaced at most twice a second; front ends keep only the last version."""

    CELLS = 30

    def __init__(self, epochs: int, steps: int):
        from IPython.display import display

        self._epochs, self._steps, self._last = epochs, steps, 0.0
        self._first: tuple[float, int] | None = None  # when, and after how many steps
        self._output = display({"text/plain": "compiling"}, raw=True, display_id=True)

    def show(self, text: str) -> None:
        """Replaces the output."""
        self._output.update({"text/plain": text}, raw=True)

    def __call__(self, epoch: int, step: int) -> None:
        now, done = time.monotonic(), (epoch - 1) * self._steps + step
        self._first = self._first or (now, done)
        if now - self._last < 0.5:
            return
        self._last, total = now, self._epochs * self._steps
        seconds, steps = now - self._first[0], done - self._first[1]
        left = f"{seconds / steps * (total - done):.0f} s left" if steps else ""
        filled = "#" * (done * self.CELLS // total)
        self.show(f"epoch {epoch}/{self._epochs} [{filled:.<{self.CELLS}}] {left}")
