"""CIFAR-10 from every source, complete, damaged and missing."""

import hashlib
import http.server
import io
import subprocess
import sys
import tarfile
import threading

import pytest
from cifar10_files import (  # noqa: F401 (a fixture)
    SOURCES,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    assert_refused,
    assert_whole,
    load,
    no_server,
    pack,
    published_at,
    write_binary,
    write_python,
)

from jaxattn.data import DATASETS
from jaxattn.data.cifar import archives
from jaxattn.data.download import Remote
from jaxattn.errors import UnavailableError
from jaxattn.lock import FILE as LOCK

# Every form, whole.


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same_images_in_the_same_order(tmp_path, source):
    SOURCES[source](tmp_path)
    splits = DATASETS["cifar10"].load(tmp_path)
    assert_whole(splits)
    sha = hashlib.sha256()
    for images, labels in ((TRAIN_IMAGES, TRAIN_LABELS), (TEST_IMAGES, TEST_LABELS)):
        sha.update(images.tobytes() + labels.astype("<i4").tobytes())
    assert splits.digest() == sha.hexdigest()


@pytest.mark.parametrize("source", SOURCES)
def test_path_may_be_that_of_the_source_itself(tmp_path, source):
    assert_whole(load(SOURCES[source](tmp_path)))


# Read once.


def test_an_archive_is_read_once_and_nothing_is_written_beside_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = pack(write_binary(tmp_path))
    first = load(tmp_path)
    monkeypatch.setattr(archives, "read", None)  # whatever reads it fails
    second = load(tmp_path)
    assert_whole(second)
    assert first.digest() == second.digest() and first.spec == second.spec
    assert {path.name for path in tmp_path.iterdir()} == {source.name, "cache"}


@pytest.mark.parametrize("name", ["cifar-100-python", "cifar-100-binary.tar.gz"])
def test_the_other_data_set_is_refused_by_name(tmp_path, name):
    path = tmp_path / name
    if path.suffix:
        with tarfile.open(path, "w:gz") as tar:
            tar.addfile(tarfile.TarInfo("cifar-100-binary/train.bin"))
    else:
        path.mkdir()
    assert_refused(path, "data set cifar100")


# Nothing there.


def test_missing_archive_is_downloaded_and_prepared(tmp_path, monkeypatch):
    (tmp_path / "served").mkdir()
    content = pack(write_binary(tmp_path / "served")).read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        published_at(monkeypatch, Remote(url, len(content), hashlib.sha256(content).hexdigest()))
        assert_whole(load(tmp_path / "new"))
        thread.join()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [LOCK, "cifar-10-binary.tar.gz"]
    assert_whole(load(tmp_path / "new"))


def test_without_data_and_network_the_error_says_what_to_do(tmp_path):
    with pytest.raises(UnavailableError) as caught:
        load(tmp_path / "new")
    message = str(caught.value)
    assert "\n" not in message and str(tmp_path / "new") in message
    assert "cifar-10-python.tar.gz" in message and "choose the data set shapes" in message
    assert not (tmp_path / "new").exists()


def test_importing_the_data_sets_loads_nothing_heavy():
    heavy = ["jax", "rich", "tensorflow", "tensorflow_datasets", "array_record", "PIL"]
    check = f"import sys, jaxattn.data; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Damaged archives.


@pytest.mark.parametrize(
    ("content", "words"),
    [(bytes([10]) + bytes(3072), ["0..9", "10..10"]), (bytes(3072), ["3073 bytes", "3072"]), (b"", ["holds 0"])],
)
def test_binary_batch_with_a_fault_is_refused_by_name(tmp_path, content, words):
    (write_binary(tmp_path) / "data_batch_4.bin").write_bytes(content)
    assert_refused(tmp_path, "data_batch_4.bin", *words)


@pytest.mark.parametrize("write", [write_python, write_binary])
@pytest.mark.parametrize("packed", [False, True])
def test_missing_batch_is_named(tmp_path, write, packed):
    folder = write(tmp_path)
    lost = next(folder.glob("data_batch_5*"))
    lost.unlink()
    if packed:
        pack(folder)
    assert_refused(tmp_path, lost.name, "5 training and 1 test batch")


@pytest.mark.parametrize("write", [write_python, write_binary])
@pytest.mark.parametrize("fraction", [0, 0.001, 0.3, 0.7, 0.99, 0.9999])
def test_archive_cut_off_anywhere_is_refused(tmp_path, write, fraction):
    path = pack(write(tmp_path))
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    assert_refused(tmp_path, str(path))


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.8])
def test_archive_with_one_bit_flipped_is_refused(tmp_path, fraction):
    path = pack(write_binary(tmp_path))
    content = bytearray(path.read_bytes())
    content[int(fraction * len(content))] ^= 1
    path.write_bytes(content)
    assert_refused(tmp_path, str(path))


def test_foreign_archive_is_refused_and_its_paths_are_not_followed(tmp_path):
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("../escaped", "/tmp/escaped", "cifar-10-batches-py/../../data_batch_1"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("cifar-10-batches-py/test_batch")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert_refused(tmp_path, str(path), "lacks data_batch")
    assert {other.name for other in tmp_path.iterdir()} == {path.name}


def test_file_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    assert_refused(path, str(path), "of cifar10")
