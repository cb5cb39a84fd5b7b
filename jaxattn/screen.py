"""What a run says on the terminal: lines always, a live bar only where a person watches."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, final

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@final
class Screen:
    """Lines and bars on standard output. Where that is no terminal: no bar, no colour, one plain line each."""

    def __init__(self, quiet: bool = False):
        """`quiet` prints nothing."""
        self._console = Console(quiet=quiet, highlight=False, soft_wrap=True, emoji=False)
        logger = logging.getLogger("jaxattn")
        if not logger.handlers:
            logger.addHandler(RichHandler(console=self._console, show_time=False, show_level=False, show_path=False))
            logger.setLevel(logging.INFO)

    def line(self, text: str, style: str = "") -> None:
        """Prints one line."""
        self._console.print(text, style=style, markup=False)

    def warn(self, text: str) -> None:
        """Prints a warning that nobody can miss."""
        rule = "!" * 78
        self._console.print(f"{rule}\nWARNING: {text}\n{rule}", style="bold yellow", markup=False)

    @contextlib.contextmanager
    def bar(self, text: str, total: int) -> Iterator[Callable[[int], Any]]:
        """A live bar of `total` steps with the time left; gives the function that sets how many are done."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        ) as progress:
            task = progress.add_task(text, total=total)
            yield lambda done: progress.update(task, completed=done)
