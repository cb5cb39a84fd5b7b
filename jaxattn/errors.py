"""Errors that a user can act on: the commands print them as one line and exit with code 2."""

import errno
from collections.abc import Mapping
from typing import Any

_REMEDIES = {  # for writes that failed, by error number; other errors have no general remedy
    errno.ENOSPC: "free space",
    errno.EDQUOT: "free space",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.EROFS: "make it writable",
    errno.ENOENT: "restore what was removed",
}


class InputError(ValueError):
    """Input that cannot be used. The message says in one line what is wrong, the rule and the value.

    Attributes:
        setting: the argument or configuration field that fixes it, such as "out" or "data_dir"; None if there is
            none. A command names the flag for it; the library's errors do not.
        value: the value to give it, if that is known.
    """

    def __init__(self, message: str, setting: str | None = None, value: Any = None):
        """Takes the message, and what fixes it."""
        super().__init__(message)
        self.setting, self.value = setting, value

    def __reduce__(self):
        return type(self), (str(self), self.setting, self.value)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback."""
        return [f"error: {one_line(str(self))}"]


class DivergenceError(InputError):
    """Training whose loss stopped being finite; the same configuration would do so again."""


class UnavailableError(InputError):
    """A data set that is neither on this machine nor available from the network."""


class Interrupted(KeyboardInterrupt):
    """Training that was stopped by Ctrl-C or SIGTERM and can be resumed.

    Attributes:
        folder: of the run, or of the comparison.
        epochs: how many complete epochs the run holds, how many finished runs the comparison.
        setting: what resumes it: "resume", "resume_trusted" for a run with its author's own module, or "compare" for a
            comparison.
        options: other words of the command line that resumes it.
    """

    options: tuple[str, ...] = ()

    def __init__(self, folder: Any, epochs: int, setting: str = "resume"):
        """Takes the folder, the number of what is complete in it, and what resumes it."""
        complete = "finished runs" if setting == "compare" else "complete epochs"
        super().__init__(f"stopped; {epochs} {complete} are kept in {folder}")
        self.folder, self.epochs, self.setting = folder, epochs, setting

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback."""
        return [f"{self}; run the cell again to resume"]


def lookup(what: str, name: str, known: Mapping[str, Any]) -> Any:
    """`known[name]`.

    Raises:
        InputError: if there is none; the message lists the known names.
    """
    if name not in known:
        raise InputError(f"unknown {what} {shortened(name)}; known are {', '.join(map(str, known))}")
    return known[name]


def shortened(value: Any) -> str:
    """A value for a message: its `repr`, in one line of at most 80 characters."""
    try:
        text = " ".join(repr(value).split())
    except Exception as error:  # an integer of thousands of digits has none
        text = f"a {type(value).__name__} without text ({type(error).__name__})"
    return text if len(text) <= 80 else f"{text[:77]}..."


def one_line(text: str) -> str:
    """A text as one line that is safe to print: line breaks become spaces, and control characters are escaped."""
    line = " ".join(text.splitlines())
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)


def first_line(error: BaseException | str) -> str:
    """The first line of another library's error, at most 200 characters; its type if it has no message."""
    try:
        text = str(error)
    except Exception:  # a user-defined exception may have no text
        text = ""
    return (text.strip().splitlines() or [type(error).__name__])[0][:200]


def write_failure(error: OSError) -> str:
    """Why a write failed and what to do: "No space left on device; free space"."""
    return f"{error.strerror}; {_REMEDIES.get(error.errno or 0, 'fix that')}"


def described(error: BaseException) -> str:
    """The type of another library's error and the first line of its message."""
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line}"
