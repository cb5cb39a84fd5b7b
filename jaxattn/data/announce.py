"""What a data set will be, said before its images are decoded: the training step is compiled meanwhile."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator

Listener = Callable[[int, tuple[int, ...], int], object]

_LISTENER: contextvars.ContextVar[Listener | None] = contextvars.ContextVar("listener", default=None)


def announce(classes: int, shape: tuple[int, ...], count: int) -> None:
    """Says what is being loaded to whoever listens; a loader need not call it.

    It should be called once the loader has imported all that it needs: TensorFlow Datasets replaces Python's import
    while it loads, and another thread's imports fail then.

    Args:
        classes: number of classes K.
        shape: of an image, (H, W, 3).
        count: number of training images.
    """
    listener = _LISTENER.get()
    if listener is not None:
        listener(classes, shape, count)


@contextlib.contextmanager
def announced_to(listener: Listener) -> Iterator[None]:
    """Within this context, `announce` calls the listener."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)
