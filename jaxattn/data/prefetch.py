"""A data set decoded by its own process, started before JAX is imported: until a step is lowered, a core is idle."""

import atexit
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from jaxattn.data.announce import Listener, announce, announced_to
from jaxattn.runtime import cache_folder

MIN_BYTES = 1 << 24  # a smaller data set is decoded before a process has started
_BEGUN: dict[Path, subprocess.Popen[str]] = {}


def begin(folder: Path, module: str) -> None:
    """Has the files of a folder decoded into the cache by `python -m module folder`, which calls `serve`.

    Nothing starts where that gains no time: on one core, for a small folder, or a second time.

    Raises:
        OSError: where the folder cannot be read or the process not be started.
    """
    size = sum(path.stat().st_size for path in folder.iterdir())
    if folder in _BEGUN or (os.cpu_count() or 1) < 2 or size < MIN_BYTES:
        return
    command, silent = [sys.executable, "-m", module, os.fspath(folder)], subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=silent, stdout=subprocess.PIPE, stderr=silent, text=True)
    atexit.register(process.kill)  # this process may end before `finish`
    _BEGUN[folder] = process


def finish(folder: Path) -> Path | None:
    """Waits for the process, and announces what it announces; the entry of the cache, None without process or entry."""
    process = _BEGUN.pop(folder, None)
    if process is None:
        return None
    with process:
        try:
            for line in process.stdout or ():
                match _parsed(line):
                    case {"announced": [int(classes), [*shape], int(count)]}:
                        announce(classes, tuple(shape), count)
                    case {"kept": str(entry)}:
                        return Path(entry)
        finally:
            process.kill()
    return None


def _parsed(line):
    try:
        return json.loads(line)
    except ValueError:  # a line of some other library
        return None


def serve(load: Callable[[], object]) -> None:
    """In the process that was started: loads the data set, and prints what is announced and kept as lines of JSON.

    Raises:
        OSError: at once where the cache cannot be written, so that nobody waits in vain.
    """
    cache_folder().mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=cache_folder()).close()
    gc.disable()  # what a loader allocates lives on

    def tell(**message):
        print(json.dumps(message), flush=True)

    with announced_to(Listener(lambda *sizes: tell(announced=sizes), kept=lambda entry: tell(kept=os.fspath(entry)))):
        load()
