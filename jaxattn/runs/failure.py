"""Why a run failed: `failed.json`, and `error.txt` with the traceback of an unexpected error."""

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
# Settings whose refusal is no failure of a run: it can start as soon as they are right.
NOT_OF_A_RUN = {"out", "resume", "data_dir", "mirror", "trust_code", "accept_changed_code"}


class Failure(NamedTuple):
    """The contents of `failed.json`.

    Attributes:
        reason: one line.
        epoch: the first incomplete epoch, from 1.
        diverged: whether the loss stopped being finite.
        versions: versions of jax and others, as in `result.json`.
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
    """The context in which a run trains: deletes the records of an earlier failure, and records a new one.

    A failure that has nothing to do with the run, such as a full disk, is not recorded.

    Args:
        folder: the run folder, which this process has claimed.
        config: configuration of the run; what a user's class raises becomes an `InputError`.
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
        if "RESOURCE_EXHAUSTED" in str(error):  # the status of XLA
            raise InputError("the device has too little memory; a smaller batch_size may help") from error
        own = own_classes(config)
        if not own:
            raise
        raise InputError(
            f"training with {' and '.join(own)} failed: {described(error)}; the traceback is in {folder / TRACEBACK}",
            "attention",
        ) from error


def forget(folder: Path) -> None:
    """Deletes the records of a failure, if there are any."""
    if (folder / FILE).exists():
        for name in FAILED:
            with contextlib.suppress(OSError):
                (folder / name).unlink(missing_ok=True)


def is_of_this_run(error: Exception) -> bool:
    """Whether the run itself caused an error, and not a folder, a file or code that cannot be used now."""
    return not isinstance(error, OSError) and getattr(error, "setting", None) not in NOT_OF_A_RUN


def failure_of(error: Exception, folder: Path) -> Failure:
    """The failure to record for an error that ended the run in a folder."""
    reason = str(error) if isinstance(error, InputError) else described(error)
    complete = checkpoint.epochs(folder / "checkpoints")
    return Failure(reason, 1 + max(complete, default=0), isinstance(error, DivergenceError), environment()["versions"])


def read_failure(folder: Path) -> Failure | None:
    """Why the run in a folder failed when it was last trained; None if it did not, or the record is damaged."""
    try:
        values: dict[str, Any] = read_json(folder / FILE)
        return Failure(str(values["reason"]), int(values["epoch"]), bool(values["diverged"]), values["versions"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_traceback(folder: Path, error: Exception) -> bool:
    """Adds the whole traceback of an error to `error.txt`; returns whether that succeeded."""
    path, text = folder / TRACEBACK, "".join(traceback.format_exception(error))
    try:
        earlier = path.read_text("utf-8") + "\n" if path.exists() else ""
        write_text(path, earlier + text)
    except OSError:
        return False
    return True


def record_once(folder: Path, error: Exception) -> Failure:
    """Why a run failed; records it if `fit` has not done so."""
    if read_failure(folder) is None:
        _record(folder, error)
    return failure_of(error, folder)


def _record(folder, error):
    """Writes why a run failed into its folder; errors of writing are ignored, so as not to hide the first error."""
    if is_of_this_run(error):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)  # it may have failed before there was a folder
            write_json(folder / FILE, failure_of(error, folder)._asdict())
    if not isinstance(error, InputError) or error.__cause__ is not None:
        keep_traceback(folder, error)
