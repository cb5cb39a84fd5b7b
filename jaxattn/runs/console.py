"""What a run prints: lines always, a live bar only in a terminal."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, final

import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@final
class Console:
    """Lines and bars on standard output. Where that is no terminal: no bar, no colour, one plain line each.

    The log of the package goes to the console that was created last.
    """

    def __init__(self, quiet: bool = False):
        """`quiet` prints nothing."""
        self._console = rich.console.Console(quiet=quiet, highlight=False, soft_wrap=True, emoji=False)
        logger = logging.getLogger("jaxattn")
        for handler in [one for one in logger.handlers if isinstance(one, _Log)]:
            logger.removeHandler(handler)
        logger.addHandler(_Log(self))
        logger.setLevel(logging.INFO)
        logger.propagate = False  # other packages give the root logger a handler, which would print each line again

    def line(self, text: str, style: str = "") -> None:
        """Prints one line."""
        self._console.print(text, style=style, markup=False)

    def warn(self, text: str) -> None:
        """Prints a warning that stands out."""
        rule = "!" * 78
        self._console.print(f"{rule}\nWARNING: {text}\n{rule}", style="bold yellow", markup=False)

    @contextlib.contextmanager
    def bar(self, text: str, total: int) -> Iterator[Callable[[int], Any]]:
        """A live bar of `total` steps with the time left; gives the function that sets how many are done."""
        if not self._console.is_terminal:
            yield lambda done: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(text, total=total)
            yield lambda done: progress.update(task, completed=done)


@final
class _Log(logging.Handler):
    """Prints each record as one line; Rich's own handler wraps and pads them."""

    def __init__(self, console: Console):
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.line(self.format(record))
