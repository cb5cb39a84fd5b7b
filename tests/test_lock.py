"""Locks on folders."""

import errno
import logging

import pytest

from jaxattn import lock
from jaxattn.lock import exclusive_lock

fcntl = pytest.importorskip("fcntl")


def test_a_folder_is_locked_once_and_free_afterwards(tmp_path):
    with exclusive_lock(tmp_path), pytest.raises(BlockingIOError), exclusive_lock(tmp_path):
        pass
    with exclusive_lock(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_cannot_be_locked(tmp_path):
    with pytest.raises(FileNotFoundError), exclusive_lock(tmp_path / "nowhere"):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_where_the_file_system_has_no_locks_the_log_says_so_once_and_work_goes_on(
    tmp_path, monkeypatch, caplog, number
):
    def unsupported(handle, operation):
        raise OSError(number, "not supported")

    lock._warn_once.cache_clear()
    monkeypatch.setattr(fcntl, "flock", unsupported)
    entered = 0
    with caplog.at_level(logging.WARNING, "jaxattn"):
        for _ in range(2):
            with exclusive_lock(tmp_path):
                entered += 1
    assert entered == 2
    (record,) = caplog.records
    assert f"{tmp_path} cannot lock folders" in record.getMessage()
