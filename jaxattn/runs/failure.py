"""Why a run failed: `failed.json`, and `error.txt` with the traceback of code that is not the run's own."""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxattn.config import Config
from jaxattn.errors import DivergenceError, InputError, described
from jaxattn.limits import read_json
from jaxattn.runs import checkpoint
from jaxattn.runs.code import own_classes
from jaxattn.runs.environment import environment
from jaxattn.runs.leftovers import FAILED
from jaxattn.runs.store import write_json, write_text
from jaxattn.training.processes import is_first

FILE, TRACEBACK = FAILED


class Failure(NamedTuple):
    """The contents of `failed.json`.

    Attributes:
        reason: one line.
        epoch: the first that is not complete, from 1.
        diverged: whether the loss stopped being finite.
        versions: of jax and others, as in `result.json`.
    """

    reason: str
    epoch: int
    diverged: bool
    versions: dict[str, str]

    def __str__(self) -> str:
        """In a few words, for a table."""
        return f"diverged in epoch {self.epoch}" if self.diverged else "failed"


@contextlib.contextmanager
def recorded(folder: Path, config: Config) -> Iterator[None]:
    """The context in which a run trains: the records of an earlier failure go, and one of a failure is left.

    A failure that has nothing to do with the run, such as a full disk, is not recorded.

    Args:
        folder: of the run, which this process has claimed.
        config: the run's; what a class of the reader's own raises becomes an `InputError`.
    """
    if is_first():
        forget(folder)
    try:
        with _in_one_line(config, folder):
            yield
    except Exception as error:
        if is_first():
            _record(folder, error)
        raise


@contextlib.contextmanager
def _in_one_line(config, folder):
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:
        own = own_classes(config)
        if not own:
            raise
        raise InputError(
            f"training with {' and '.join(own)} failed: {described(error)}; the traceback is in {folder / TRACEBACK}",
            "attention",
        ) from error


def forget(folder: Path) -> None:
    """Deletes the records of a failure, where there are any."""
    if (folder / FILE).exists():
        for name in FAILED:
            with contextlib.suppress(OSError):
                (folder / name).unlink(missing_ok=True)


def is_of_this_run(error: Exception) -> bool:
    """Whether a run failed by itself: not because of a folder that is in use, cannot be written or is not there."""
    return not isinstance(error, OSError) and getattr(error, "setting", None) not in ("out", "resume", "data_dir")


def failure_of(error: Exception, folder: Path) -> Failure:
    """What is to say of an error that ended the run in a folder."""
    reason = str(error) if isinstance(error, InputError) else described(error)
    complete = checkpoint.epochs(folder / "checkpoints")
    return Failure(reason, 1 + max(complete, default=0), isinstance(error, DivergenceError), environment()["versions"])


def read_failure(folder: Path) -> Failure | None:
    """Why the run in a folder failed when it was trained last; None where it did not, or the record is damaged."""
    try:
        values: dict[str, Any] = read_json(folder / FILE)
        return Failure(str(values["reason"]), int(values["epoch"]), bool(values["diverged"]), values["versions"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_traceback(folder: Path, error: Exception) -> bool:
    """Adds the whole traceback of an error to `error.txt`; whether that could be written."""
    path, text = folder / TRACEBACK, "".join(traceback.format_exception(error))
    try:
        earlier = path.read_text("utf-8") + "\n" if path.exists() else ""
        write_text(path, earlier + text)
    except OSError:
        return False
    return True


def record_once(folder: Path, error: Exception) -> Failure:
    """Why a run failed, which is recorded now if `fit` did not come so far as to do it."""
    if read_failure(folder) is None:
        _record(folder, error)
    return failure_of(error, folder)


def _record(folder, error):
    """Writes why a run failed into its folder, as far as that can be written; the error itself is what counts."""
    if is_of_this_run(error):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)  # it may have failed before there was a folder
            write_json(folder / FILE, failure_of(error, folder)._asdict())
    if not isinstance(error, InputError) or error.__cause__ is not None:
        keep_traceback(folder, error)
