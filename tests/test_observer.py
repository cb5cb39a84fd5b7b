"""Observers are told of every epoch, and cannot stop training."""

import chex
import pytest
import tiny

from jaxattn import Config, fit
from jaxattn.runs.console import Console
from jaxattn.runs.observer import Observer

pytestmark = pytest.mark.usefixtures("small_network")
CONFIG = Config(**tiny.CONFIG | {"epochs": 3})


def test_an_observer_that_fails_is_warned_of_once_and_training_goes_on(tmp_path, capsys, quiet):
    seen = []

    class Broken(Observer):
        def start(self, run, test):
            raise ZeroDivisionError

        def epoch(self, run):
            raise OSError(28, "No space left on device")

    class Seeing(Observer):
        def start(self, run, test):
            seen.append((run.epoch, len(test)))

        def epoch(self, run):
            seen.append((run.epoch, run.metrics[-1]["epoch"]))

        def end(self, run):
            seen.append(run.result["epochs"])

    alone = fit(CONFIG, tmp_path / "alone", quiet)
    done = fit(CONFIG, tmp_path / "run", Console(), observers=[Broken(), Seeing()])
    assert seen == [(0, 40), (1, 1), (2, 2), (3, 3), 3]
    printed = capsys.readouterr().out
    assert printed.count("WARNING") == 1 and "Broken failed: ZeroDivisionError; training continues" in printed
    assert f"(see {tmp_path / 'run' / 'error.txt'})" in printed
    text = (tmp_path / "run" / "error.txt").read_text()
    assert text.count("Traceback") == 1 and "in start" in text and text.endswith("ZeroDivisionError\n")
    chex.assert_trees_all_equal(done.variables, alone.variables)
