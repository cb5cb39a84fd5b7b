"""Runs a command: one line for an error, with the flag that fixes it, and the exit code."""

import contextlib
import gc
import os
import shlex
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn, final

from jaxattn.cli.parser import TRACEBACK
from jaxattn.errors import InputError, Interrupted, one_line

HINTS = {  # for settings of an `InputError`; others are hinted at by their flag
    "resume": "resume with: jaxattn train --resume {}",
    "resume_trusted": "resume with: jaxattn train --resume {} --trust-code",
    "compare": "the same command resumes",
}


def run_command(main: Callable[[list[str]], None]) -> NoReturn:
    """Runs `main` on the command line and exits: 0 done, 2 wrong input (one line), 130 or 143 stopped.

    Any other exception is a bug, and keeps Python's traceback.
    """
    os.environ["MPLBACKEND"] = "agg"  # commands draw to files; the backend that a notebook passes on may be missing
    gc.set_threshold(100_000)  # imports and tracing allocate mostly long-lived objects: saves a tenth of the start
    signal.signal(signal.SIGTERM, _terminate)
    if hasattr(sys.stdout, "reconfigure"):  # not in a notebook
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may not be valid text
    try:
        main(sys.argv[1:])
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {one_line(message(error))}", file=sys.stderr)
        if TRACEBACK in sys.argv[1:]:
            traceback.print_exception(error)
        sys.exit(2)
    except KeyboardInterrupt as error:
        if isinstance(error, Interrupted):
            with contextlib.suppress(OSError):  # the reader of our output was stopped, too
                hint = HINTS[error.setting].format(quoted(str(error.folder)))
                print(one_line(" ".join([f"{error}; {hint}", *map(quoted, error.options)])), flush=True)
        terminated = isinstance(error, _Terminated) or isinstance(error.__cause__, _Terminated)
        sys.exit(128 + (signal.SIGTERM if terminated else signal.SIGINT))
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(0)


def message(error: InputError) -> str:
    """The message of an error, and the flag or command that fixes it."""
    if error.setting is None:
        return str(error)
    flag = f"--{error.setting.replace('_', '-')}"
    hint = flag if error.value is None else HINTS.get(error.setting, flag)
    return f"{error} ({hint.format(quoted(str(error.value)))})"


def quoted(word: str) -> str:
    """A word as this system's command line takes it."""
    return subprocess.list2cmdline([word]) if os.name == "nt" else shlex.quote(word)


@final
class _Terminated(KeyboardInterrupt):
    """SIGTERM: stops a run as Ctrl-C does."""


def _terminate(signum, frame):
    raise _Terminated
