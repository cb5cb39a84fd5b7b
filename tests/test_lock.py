"""Locks on folders."""

import errno
import logging

import filelock
import pytest

from jaxattn import lock
from jaxattn.lock import exclusive_lock


def test_a_folder_is_locked_once_and_free_afterwards(tmp_path):
    with exclusive_lock(tmp_path), pytest.raises(BlockingIOError), exclusive_lock(tmp_path):
        pass
    with exclusive_lock(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [lock.FILE]


def test_a_folder_that_does_not_exist_cannot_be_locked_and_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError), exclusive_lock(tmp_path / "nowhere"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error", [NotImplementedError("no flock"), OSError(errno.ENOLCK, "none"), OSError(errno.ENOTSUP, "none")]
)
def test_where_the_file_system_has_no_locks_the_log_says_so_once_and_work_goes_on(tmp_path, monkeypatch, caplog, error):
    def unsupported(self):
        raise error

    lock._warn_once.cache_clear()
    monkeypatch.setattr(filelock.FileLock, "acquire", unsupported)
    entered = 0
    with caplog.at_level(logging.WARNING, "jaxattn"):
        for _ in range(2):
            with exclusive_lock(tmp_path):
                entered += 1
    assert entered == 2
    (record,) = caplog.records
    assert f"the file system of {tmp_path} has no locks" in record.getMessage()
