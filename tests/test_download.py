"""Downloads from a server on this machine: complete, interrupted, altered, resumed, hanging, or missing."""

import contextlib
import dataclasses
import hashlib
import http.server
import socket
import threading

import numpy as np
import pytest

from jaxattn.data.download import Remote, fetch
from jaxattn.errors import InputError, UnavailableError

CONTENT = np.random.default_rng(0).bytes(600_000)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `CONTENT`, in the way that the server's `manner` names."""

    def do_GET(self):
        manner = self.server.manner
        self.server.ranges.append(self.headers.get("Range"))
        if manner == "missing":
            self.send_error(404)
            return
        start = 0
        if self.headers.get("Range") and manner != "ignores ranges":
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= self.server.length:
                self.send_error(416)
                return
        if manner == "asks for a login":
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"<html>Welcome</html>")
            return
        self.send_response(206 if start else 200)
        if start:
            start = 0 if manner == "starts elsewhere" else start
            self.send_header("Content-Range", f"bytes {start}-{self.server.length - 1}/{self.server.length}")
        self.send_header("Content-Length", str(self.server.length - start))
        self.end_headers()
        content = bytes(600_000) if manner == "alters" else CONTENT
        end = {"cuts short": 400_000, "stalls": 300_000}.get(manner, self.server.length)
        with contextlib.suppress(OSError):  # the client may close the connection
            self.wfile.write(content[start:end])
            self.wfile.flush()
            if manner == "stalls":
                self.server.released.wait(10)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.manner, server.length, server.ranges, server.released = "serves", len(CONTENT), [], threading.Event()
        server.remote = Remote(
            f"http://127.0.0.1:{server.server_port}/file",
            size=len(CONTENT),
            sha256=hashlib.sha256(CONTENT).hexdigest(),
            connect=5,
            stall=2,  # a busy machine may take a second to answer
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "folder" / "file.tar.gz"


def part_of(path):
    return path.with_name("file.tar.gz.part")


def left_in(path):
    return [other.name for other in path.parent.iterdir()]


def test_a_complete_file_is_written_and_no_other(server, path):
    fetch(server.remote, path)
    assert path.read_bytes() == CONTENT
    assert left_in(path) == ["file.tar.gz"]


@pytest.mark.parametrize(("manner", "arrived"), [("cuts short", 400_000), ("stalls", 300_000)])
def test_interrupted_transfer_is_kept_and_resumed_by_the_next_call(server, path, manner, arrived):
    server.manner = manner
    with pytest.raises(InputError, match=f"was interrupted after {arrived:,} of 600,000 bytes.*run again") as caught:
        fetch(server.remote, path)
    assert "\n" not in str(caught.value) and not isinstance(caught.value, UnavailableError)
    assert part_of(path).read_bytes() == CONTENT[:arrived] and not path.exists()
    server.manner = "serves"
    fetch(server.remote, path)
    assert server.ranges == [None, f"bytes={arrived}-"]
    assert path.read_bytes() == CONTENT and left_in(path) == ["file.tar.gz"]


def test_stall_is_reported(server, path):
    server.manner = "stalls"
    with pytest.raises(InputError, match=r"no data for 2 seconds"):
        fetch(server.remote, path)


def test_server_that_ignores_ranges_starts_over(server, path):
    path.parent.mkdir(parents=True)
    part_of(path).write_bytes(b"x" * 1000)  # would spoil the checksum if it were kept
    server.manner = "ignores ranges"
    fetch(server.remote, path)
    assert server.ranges == ["bytes=1000-"]
    assert path.read_bytes() == CONTENT


def test_an_answer_from_another_byte_is_not_appended(server, path):
    path.parent.mkdir(parents=True)
    part_of(path).write_bytes(CONTENT[:1000])
    server.manner = "starts elsewhere"
    fetch(server.remote, path)
    assert server.ranges == ["bytes=1000-"] and path.read_bytes() == CONTENT


def test_the_page_of_a_network_that_wants_a_login_is_no_download(server, path):
    server.manner = "asks for a login"
    with pytest.raises(UnavailableError, match="the server answers with a web page"):
        fetch(server.remote, path)
    assert not path.parent.exists() or left_in(path) == []


@pytest.mark.parametrize("before", [0, 1000, len(CONTENT), len(CONTENT) + 1])
def test_altered_file_is_refused_and_removed(server, path, before):
    path.parent.mkdir(parents=True)
    if before:
        part_of(path).write_bytes(bytes(before))
    server.manner = "alters"
    with pytest.raises(InputError, match="must have SHA-256") as caught:
        fetch(server.remote, path)
    assert not isinstance(caught.value, UnavailableError)
    assert left_in(path) == []
    server.manner = "serves"
    fetch(server.remote, path)
    assert path.read_bytes() == CONTENT


def test_file_of_another_length_is_refused_before_it_is_loaded(server, path):
    # Like the log-in page of a public network.
    server.length = 1234
    with pytest.raises(InputError, match="must give 600,000 bytes, offers 1,234"):
        fetch(server.remote, path)
    assert not path.parent.exists()


def test_part_longer_than_the_servers_file_starts_over(server, path):
    path.parent.mkdir(parents=True)
    part_of(path).write_bytes(bytes(2000))
    server.length = 1234
    with pytest.raises(InputError, match="offers 1,234"):
        fetch(server.remote, path)
    assert server.ranges == ["bytes=2000-", None]


def test_refusal_is_unavailable(server, path):
    server.manner = "missing"
    with pytest.raises(UnavailableError, match="cannot be downloaded: Not Found"):
        fetch(server.remote, path)
    assert not path.parent.exists()


def test_a_closed_port_is_unavailable(server, path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    remote = dataclasses.replace(server.remote, url=f"http://127.0.0.1:{port}/file")
    with pytest.raises(UnavailableError, match=r"cannot be downloaded: .*refused") as caught:
        fetch(remote, path)
    assert "\n" not in str(caught.value)
    assert not path.parent.exists()


def test_server_that_never_responds_is_unavailable_after_the_time_to_connect(server, path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        remote = dataclasses.replace(
            server.remote, url=f"http://127.0.0.1:{silent.getsockname()[1]}/file", connect=0.2, stall=0.4
        )
        with pytest.raises(UnavailableError, match=r"no response within 0\.2 seconds"):
            fetch(remote, path)
        wait_for_threads()


def test_dns_lookup_that_hangs_does_not_block_the_caller(server, path, monkeypatch):
    released = threading.Event()

    def hang(*_, **__):
        released.wait(10)
        raise OSError("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    remote = dataclasses.replace(server.remote, url="http://nowhere.invalid/file", connect=0.2)
    with pytest.raises(UnavailableError, match=r"no response within 0\.2 seconds"):
        fetch(remote, path)
    released.set()
    wait_for_threads()


def test_folder_that_cannot_be_made_is_one_clear_line(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot be written.*choose another folder"):
        fetch(server.remote, tmp_path / "file" / "folder" / "file.tar.gz")


def test_progress_shows_on_a_terminal_only(server, path, monkeypatch, capsys):
    fetch(server.remote, path)
    assert capsys.readouterr().err == ""
    path.unlink()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    fetch(server.remote, path)
    assert "file.tar.gz" in capsys.readouterr().err


def wait_for_threads():
    """Until the request left behind has ended, so that it does not outlive its test."""
    for thread in threading.enumerate():
        if thread.daemon and thread.name.endswith("(send)"):
            thread.join(5)
