"""A file from the network: checked, resumable, and quick to say that there is no network."""

import contextlib
import dataclasses
import hashlib
import http
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


@dataclasses.dataclass(frozen=True)
class Remote:
    """A file on a server.

    Attributes:
        url: where it is.
        size: its length in bytes.
        sha256: its SHA-256, hex.
        connect: seconds until the server must have begun to answer, name look-up and all.
        stall: seconds that may pass without a byte.
    """

    url: str
    size: int
    sha256: str
    connect: float = 7
    stall: float = 30


def fetch(remote: Remote, path: Path) -> None:
    """Downloads `remote` to `path`, whole and checked, or not at all.

    What has arrived is kept as `<path>.part` if the transfer breaks off, and the next call goes on from there.

    Args:
        remote: what to fetch.
        path: where to; its folder is made if missing.

    Raises:
        UnavailableError: where the server cannot be reached or refuses.
        InputError: where the transfer breaks off, the file is another one, or it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        have = part.stat().st_size if part.exists() else 0
        if have < remote.size:
            _transfer(remote, part, have)
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != remote.sha256:
            part.unlink()
            raise InputError(
                f"{remote.url} must have SHA-256 {remote.sha256[:12]}..., what came has {digest[:12]}... and is "
                f"removed; try again, or put {path.name} into {path.parent} yourself"
            )
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}; choose another folder") from error


def _transfer(remote: Remote, part: Path, have: int) -> None:
    """Appends to `part`, which holds `have` bytes, until the server has no more to give."""
    response = _answer(remote, have)
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:  # the server starts from the beginning
        have = 0
    if response.length not in (None, remote.size - have):
        response.close()
        raise InputError(
            f"{remote.url} must give {remote.size - have:,} bytes, offers {response.length:,}: it is another file now; "
            f"put {part.stem} into {part.parent} yourself"
        )
    part.parent.mkdir(parents=True, exist_ok=True)
    reason = "the connection ended"
    with response, part.open("ab" if have else "wb") as file, _progress(part.stem, have, remote.size) as advance:
        while have < remote.size:
            try:
                chunk = response.read1(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                stalled = isinstance(error, TimeoutError)
                reason = f"nothing came for {remote.stall:g} seconds" if stalled else str(error) or repr(error)
                break
            if not chunk:
                break
            file.write(chunk)
            have += len(chunk)
            advance(len(chunk))
    if have < remote.size:
        raise InputError(
            f"{remote.url} broke off after {have:,} of {remote.size:,} bytes ({reason}); they are kept in {part}: "
            "run again to go on from there"
        )


def _answer(remote: Remote, have: int) -> http.client.HTTPResponse:
    """The server's answer to a request for everything after the first `have` bytes."""
    request = urllib.request.Request(remote.url, headers={"Range": f"bytes={have}-"} if have else {})
    answers = queue.SimpleQueue()

    def ask():
        try:
            answers.put(urllib.request.urlopen(request, timeout=remote.stall))
        except Exception as error:
            answers.put(error)

    # In a thread that may be left behind: a name look-up can hang for minutes and nothing can interrupt it.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=remote.connect)
    except queue.Empty:
        answer = TimeoutError(f"no answer within {remote.connect:g} seconds")
    if isinstance(answer, urllib.error.HTTPError):
        answer.close()
        if answer.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return _answer(remote, 0)
    if isinstance(answer, Exception):
        reason = " ".join(str(getattr(answer, "reason", answer)).split())
        raise UnavailableError(f"{remote.url} cannot be had: {reason}") from answer
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
