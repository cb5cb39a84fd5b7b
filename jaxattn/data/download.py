"""Downloads a file: verified, resumable, and quick to fail without a network."""

import contextlib
import dataclasses
import hashlib
import http
import http.client
import logging
import queue
import re
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from jaxattn.errors import InputError, UnavailableError
from jaxattn.lock import FILE as LOCK
from jaxattn.lock import exclusive_lock

_LOG = logging.getLogger("jaxattn")
_CHUNK = 1 << 18  # bytes


@dataclasses.dataclass(frozen=True)
class Remote:
    """A file on a server.

    Attributes:
        url: its URL.
        size: its length in bytes.
        sha256: its SHA-256, hex.
        connect: seconds within which the server must begin to respond, DNS lookup included.
        stall: seconds that may pass without new data.
    """

    url: str
    size: int
    sha256: str
    connect: float = 7.0
    stall: float = 30.0


def obtain(
    data_dir: Path,
    name: str,
    remotes: Mapping[str, Remote],
    find: Callable[[], Path | None],
    instead: Sequence[str] = (),
) -> Path:
    """Downloads the files of a data set into a folder, one process at a time.

    Args:
        data_dir: the folder; it is created, and removed again if nothing can be downloaded.
        name: of the data set.
        remotes: the files, by the names they get.
        find: returns the path of the data set in the folder, once it is there.
        instead: names of files, one of which a user may put there instead; if empty, all of `remotes`.

    Raises:
        UnavailableError: if a server cannot be reached or refuses.
        InputError: if a download is interrupted, a file is not the expected one, or it cannot be written.
    """
    is_new = not data_dir.exists()
    with contextlib.ExitStack() as locks:
        with contextlib.suppress(OSError):  # a folder that cannot be created or locked: writing reports it
            data_dir.mkdir(parents=True, exist_ok=True)
            locks.enter_context(exclusive_lock(data_dir, wait=True))
        if path := find():  # another process was faster
            return path
        try:
            for file, remote in remotes.items():
                if not (data_dir / file).exists():
                    _LOG.info("downloading %s to %s", remote.url, data_dir / file)
                    fetch(remote, data_dir / file)
        except UnavailableError as error:
            if is_new:
                with contextlib.suppress(OSError):
                    (data_dir / LOCK).unlink(missing_ok=True)
                    data_dir.rmdir()
            names = " or ".join(instead) or " and ".join(remotes)
            raise UnavailableError(
                f"no {name} in {data_dir}, and {error}; put {names} there, or choose the data set shapes", "data_dir"
            ) from error
        path = find()
    if path is None:
        raise InputError(f"{data_dir} has no {name} after its download; choose another folder", "data_dir")
    return path


def fetch(remote: Remote, path: Path) -> None:
    """Downloads `remote` to `path`, complete and verified, or not at all.

    If the transfer is interrupted, the data so far is kept as `<path>.part`, and the next call resumes from it.

    Args:
        remote: the file to download.
        path: where to write it; its folder is created if missing.

    Raises:
        UnavailableError: if the server cannot be reached or refuses.
        InputError: if the transfer is interrupted, the file is not the expected one, or it cannot be written.
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
                f"{remote.url} must have SHA-256 {remote.sha256[:12]}..., the downloaded file has {digest[:12]}... "
                f"and is deleted; try again, or put {path.name} into {path.parent} yourself"
            )
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}; choose another folder") from error


def _transfer(remote: Remote, part: Path, have: int) -> None:
    """Appends to `part`, which holds `have` bytes, until it is complete.

    Raises:
        UnavailableError: if the server cannot be reached or refuses.
        InputError: if the transfer is interrupted, or the server offers another number of bytes.
    """
    response = _request(remote, have)
    if response.headers.get_content_type() == "text/html":  # the page of a network that wants a login first
        response.close()
        raise UnavailableError(f"{remote.url} cannot be downloaded: the server answers with a web page")
    begins = re.match(rf"bytes {have}-", response.headers.get("Content-Range", ""))
    if response.status != http.HTTPStatus.PARTIAL_CONTENT or not begins:  # the server starts from the beginning
        have = 0
    if response.length not in (None, remote.size - have):
        response.close()
        raise InputError(
            f"{remote.url} must give {remote.size - have:,} bytes, offers {response.length:,}: the file has changed; "
            f"put {part.stem} into {part.parent} yourself"
        )
    part.parent.mkdir(parents=True, exist_ok=True)
    reason = "the connection was closed"
    with response, part.open("ab" if have else "wb") as file, _progress(part.stem, have, remote.size) as advance:
        while have < remote.size:
            try:
                chunk = response.read1(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                stalled = isinstance(error, TimeoutError)
                reason = f"no data for {remote.stall:g} seconds" if stalled else str(error) or repr(error)
                break
            if not chunk:
                break
            file.write(chunk)
            have += len(chunk)
            advance(len(chunk))
    if have < remote.size:
        raise InputError(
            f"the download of {remote.url} was interrupted after {have:,} of {remote.size:,} bytes ({reason}); "
            f"they are kept in {part}: run again to resume"
        )


def _request(remote: Remote, have: int) -> http.client.HTTPResponse:
    """The server's response to a request for everything after the first `have` bytes.

    Raises:
        UnavailableError: if the server cannot be reached or refuses.
    """
    request = urllib.request.Request(remote.url, headers={"Range": f"bytes={have}-"} if have else {})
    results: queue.SimpleQueue = queue.SimpleQueue()

    def send():
        try:
            results.put(urllib.request.urlopen(request, timeout=remote.stall))
        except Exception as error:
            results.put(error)

    # In a thread that may outlive this call: a DNS lookup can hang for minutes, and nothing can interrupt it.
    threading.Thread(target=send, daemon=True).start()
    try:
        result = results.get(timeout=remote.connect)
    except queue.Empty:
        result = TimeoutError(f"no response within {remote.connect:g} seconds")
    if isinstance(result, urllib.error.HTTPError):
        result.close()
        if result.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return _request(remote, 0)
    if isinstance(result, Exception):
        reason = " ".join(str(getattr(result, "reason", result)).split())
        raise UnavailableError(f"{remote.url} cannot be downloaded: {reason}") from result
    return result


@contextlib.contextmanager
def _progress(name: str, have: int, size: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, nothing elsewhere; yields the function to call with the number of new bytes."""
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
