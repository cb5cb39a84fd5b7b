"""What several processes agree on, with the others' answers made up here; `test_devices` starts real ones."""

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from jaxattn.errors import InputError
from jaxattn.training import processes


def others_answer(monkeypatch, *marks):
    """This process is the first of several; the others give these marks."""
    monkeypatch.setattr(jax, "process_count", lambda: 1 + len(marks))
    gathered = lambda mark: np.array([[mark], *([one] for one in marks)])  # noqa: E731
    monkeypatch.setattr(multihost_utils, "process_allgather", gathered)


def test_processes_that_found_the_same_data_go_on(monkeypatch):
    others_answer(monkeypatch, 0xABCDEF0, 0xABCDEF0)
    assert processes.agree(lambda: "data", lambda data: "abcdef0123") == "data"


def test_processes_that_found_different_data_stop(monkeypatch):
    others_answer(monkeypatch, 0xABCDEF0, 0xABCDEF1)
    with pytest.raises(InputError, match="all processes must load the same data set, and they found different ones"):
        processes.agree(lambda: "data", lambda data: "abcdef0123")


def test_a_process_stops_where_another_one_could_not_start(monkeypatch):
    others_answer(monkeypatch, 0xABCDEF0, -1)
    with pytest.raises(InputError, match="process 2 could not start, as its output says; this one stops, too"):
        processes.agree(lambda: "data", lambda data: "abcdef0123")


def test_a_process_that_cannot_start_tells_the_others_and_raises_its_own_error(monkeypatch):
    marks = []
    others_answer(monkeypatch, 0xABCDEF0)
    gather = multihost_utils.process_allgather
    monkeypatch.setattr(multihost_utils, "process_allgather", lambda mark: marks.append(mark) or gather(mark))

    def fails():
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        processes.agree(fails, str)
    assert marks == [-1]
