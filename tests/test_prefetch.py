"""A data set decoded by another process: the same arrays, and the same errors where that process fails."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tiny

from jaxattn.data import begin, cifar10, prefetch
from jaxattn.data.announce import Listener, announced_to
from jaxattn.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(prefetch, "MIN_BYTES", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


@pytest.fixture
def folder(tmp_path):
    return tiny.folder(tmp_path / "data") / "cifar10" / "3.0.2"


def begun():
    return len(prefetch._BEGUN)


def test_another_process_decodes_and_announces(folder, monkeypatch):
    announced = []
    begin("cifar10", str(folder))
    monkeypatch.setattr(cifar10.tfds, "read", lambda *_, **__: pytest.fail("it was decoded here"))
    with announced_to(Listener(lambda *sizes: announced.append(sizes))):
        splits = cifar10.load(folder)
    assert isinstance(splits.train.images, np.memmap)
    assert splits.known_digest == tiny.splits().digest()  # the process that wrote the entry has computed it
    assert set(announced) == {(len(splits.classes), splits.train.images.shape[1:], len(splits.train))}
    assert not begun()


@pytest.mark.parametrize("module", ["this", "no.such.module"])  # the first prints lines and succeeds
def test_a_process_that_leaves_no_entry_is_done_without(folder, module):
    prefetch.begin(folder, module)
    assert begun() and cifar10.load(folder).digest() == tiny.splits().digest()


def test_nothing_is_decoded_for_a_cache_that_cannot_be_written(folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        prefetch.serve(lambda: pytest.fail("it was decoded"))
    cifar10.begin(folder)
    assert cifar10.load(folder).digest() == tiny.splits().digest()


def test_damaged_data_is_reported_as_without_the_process(folder):
    (shard,) = folder.glob("*train*")
    shard.write_bytes(shard.read_bytes()[:-100])
    cifar10.begin(folder)
    with pytest.raises(InputError, match="incomplete or corrupt"):
        cifar10.load(folder)
    assert not begun()


def test_nothing_is_begun_where_it_gains_nothing(folder, tmp_path, monkeypatch):
    begin("shapes", str(folder))
    begin("cifar10", str(tmp_path / "none"))
    begin("cifar10", str(tmp_path / "x") * 300)  # a name too long for the file system
    monkeypatch.setattr(prefetch, "MIN_BYTES", 1 << 24)
    cifar10.begin(folder)
    monkeypatch.setattr(prefetch, "MIN_BYTES", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    cifar10.begin(folder)
    assert not begun() and not prefetch.finish(folder)


def test_the_process_does_not_outlive_the_one_that_began_it(tmp_path):
    (tmp_path / "slow.py").write_text("import time; time.sleep(60)")
    code = """
        import os, pathlib
        from jaxattn.data import prefetch
        os.cpu_count, prefetch.MIN_BYTES = lambda: 2, 0
        prefetch.begin(pathlib.Path(), "slow")
        print(*[process.pid for process in prefetch._BEGUN.values()])
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30).stdout
    with pytest.raises(ProcessLookupError):
        os.kill(int(output), 0)
