"""A file from the network: checked, resumable, and quick to say that there is no network."""

import contextlib
import hashlib
import http.client
import queue
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxattn.errors import InputError, UnavailableError

_CHUNK = 1 << 18  # bytes


def fetch(path: Path, url: str, size: int, sha256: str, connect: float = 7.0, stall: float = 30.0) -> None:
    """Downloads `url` to `path`, whole and checked, or not at all.

    What has arrived is kept as `<path>.part` if the transfer breaks off, and the next call goes on from there.

    Args:
        path: where to; its folder is made if missing.
        url: what to fetch.
        size: its length in bytes.
        sha256: its SHA-256, hex.
        connect: seconds until the server must have begun to answer, name look-up and all.
        stall: seconds that may pass without a byte.

    Raises:
        UnavailableError: where the server cannot be reached or refuses.
        InputError: where the transfer breaks off, the file is another one, or it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        have = part.stat().st_size if part.exists() else 0
        if have < size:
            _transfer(part, have, url, size, connect, stall)
        with part.open("rb") as file:
            right = part.stat().st_size == size and hashlib.file_digest(file, "sha256").hexdigest() == sha256
        if not right:
            part.unlink()
            raise InputError(
                f"{url} must give {size:,} bytes with SHA-256 {sha256[:12]}..., gave others; they are removed: try "
                f"again, or put {path.name} into {path.parent} yourself"
            )
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}; choose another folder") from error


def _transfer(part: Path, have: int, url: str, size: int, connect: float, stall: float) -> None:
    """Appends to `part`, which holds `have` bytes, until the server has no more to give."""
    response = _answer(url, have, connect, stall)
    if response.status != 206:  # the server starts from the beginning
        have = 0
    if response.length not in (None, size - have):
        response.close()
        raise InputError(f"{url} must give {size - have:,} bytes, offers {response.length:,}; it is another file now")
    part.parent.mkdir(parents=True, exist_ok=True)
    reason = "the connection ended"
    with response, part.open("ab" if have else "wb") as file, _progress(part.stem, have, size) as advance:
        while have <= size:
            try:
                chunk = response.read1(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                stalled = isinstance(error, TimeoutError)
                reason = f"nothing came for {stall:g} seconds" if stalled else str(error) or type(error).__name__
                break
            if not chunk:
                break
            file.write(chunk)
            have += len(chunk)
            advance(len(chunk))
    if have < size:
        raise InputError(
            f"{url} broke off after {have:,} of {size:,} bytes ({reason}); they are kept in {part}: run again to go on"
        )


def _answer(url: str, have: int, connect: float, stall: float) -> http.client.HTTPResponse:
    """The server's answer to a request for everything after the first `have` bytes."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    answers = queue.SimpleQueue()

    def ask():
        try:
            answers.put(urllib.request.urlopen(request, timeout=stall))
        except Exception as error:
            answers.put(error)

    # In a thread that may be left behind: a name look-up can hang for minutes and nothing can interrupt it.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=connect)
    except queue.Empty:
        answer = TimeoutError(f"no answer within {connect:g} seconds")
    if isinstance(answer, urllib.error.HTTPError):
        answer.close()
        if answer.code == 416 and have:  # the server's file is shorter than what is here: it cannot be the same
            return _answer(url, 0, connect, stall)
    if isinstance(answer, Exception):
        reason = " ".join(str(getattr(answer, "reason", answer)).split())
        raise UnavailableError(f"{url} cannot be had: {reason}") from answer
    return answer


@contextlib.contextmanager
def _progress(name: str, have: int, size: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, nothing elsewhere; gives the function to call with each number of new bytes."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich import console, progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console.Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=size, completed=have)
        yield lambda count: bar.advance(task, count)
