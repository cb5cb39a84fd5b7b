"""What a loader tells a run that is about to begin: the training step is compiled while images are decoded."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple


class Listener(NamedTuple):
    """What a run does while its data is loaded.

    Attributes:
        announced: called with the arguments of `announce`, by some loaders more than once.
        later: called with work that the run need not wait for.
        kept: called with the entry of the cache that holds what is loaded, once it is complete.
    """

    announced: Callable[[int, tuple[int, ...], int], object] = lambda classes, shape, count: None
    later: Callable[[Callable[[], object]], object] = lambda work: work()
    kept: Callable[[Path], object] = lambda entry: None


_NOBODY = Listener()
_LISTENER: contextvars.ContextVar[Listener] = contextvars.ContextVar("listener", default=_NOBODY)


def announce(classes: int, shape: tuple[int, ...], count: int) -> None:
    """Says what is being loaded to whoever listens; a loader need not call it.

    It should be called once the loader has imported all that it needs: TensorFlow Datasets replaces Python's import
    while it loads, and another thread's imports fail then.

    Args:
        classes: number of classes K.
        shape: of an image, (H, W, 3).
        count: number of training images.
    """
    _LISTENER.get().announced(classes, shape, count)


def later(work: Callable[[], object]) -> None:
    """Has work done that nobody waits for: in a new run once the training step is compiled; at once, without a run."""
    _LISTENER.get().later(work)


def kept(entry: Path) -> None:
    """Says which entry of the cache holds what is loaded."""
    _LISTENER.get().kept(entry)


@contextlib.contextmanager
def announced_to(listener: Listener) -> Iterator[None]:
    """Within this context, the functions above call the listener."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)
