"""What a comparison shows while it trains, and how it stops where one device fails."""

import contextlib
import threading
import types
from pathlib import Path

import pytest
import tiny

from jaxattn import Config
from jaxattn.comparison import train
from jaxattn.comparison.plan import Plan
from jaxattn.comparison.progress import Progress
from jaxattn.errors import InputError
from jaxattn.runs.failure import Failure

FLAGS = tiny.CONFIG | {"epochs": 1}
FAILURE = Failure("the loss stopped being finite", 1, True, {})


def test_the_time_left_is_that_of_runs_as_they_end_however_many_run_at_once(quiet, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("jaxattn.comparison.progress.time", types.SimpleNamespace(monotonic=lambda: now[0]))
    plan, lines = Plan(Config(**FLAGS), ("none", "se"), (4,)), []
    progress = Progress(plan, {}, {"se": {3: FAILURE}}, quiet)
    monkeypatch.setattr(quiet, "line", lines.append)
    for name in ("none", "se"):  # two at once, two minutes each
        progress.tell(plan.config_of(name, 0), "epoch 1")
    now[0] = 120.0
    for name in ("none", "se"):
        progress.finished(plan.config_of(name, 0), {"test_accuracy": 0.5, "seconds": 120.0})
    assert lines == [
        "[2/8] none seed 0: 50.00%   about 6 min left",  # six runs, one a minute
        "[3/8] se seed 0: 50.00%   about 5 min left",
    ]
    now[0] = 200.0
    assert progress._time_left() == "about 5 min left"  # until another one ends


def test_a_folder_that_cannot_be_used_stops_all_devices(quiet, monkeypatch):
    plan = Plan(Config(**FLAGS), ("none", "se"), (1,))
    progress, stopped = Progress(plan, {}, {}, quiet), []

    def one(config, *rest):
        if config.attention == "se":
            raise InputError("cannot write", "out")
        stopped.append(progress.stopped.wait(20))
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "fit", one)
    monkeypatch.setattr(train.jax, "device_count", lambda: 2)
    monkeypatch.setattr(train.jax, "devices", lambda: [0, 1])
    monkeypatch.setattr(train.devices, "only", lambda device: contextlib.nullcontext())
    with pytest.raises(InputError, match="cannot write"):
        train.train(plan.folders(Path("nowhere")), progress)
    assert stopped == [True]


def test_the_live_table_is_drawn_while_another_thread_reports(quiet):
    one, other, third = (config for _, config in Plan(Config(**FLAGS), ("none", "se", "eca"), (1,)).runs())
    progress = Progress(Plan(one, ("none", "se", "eca"), (1,)), {}, {}, quiet)
    threads = []

    class Running(dict):
        def items(self):
            for number, item in enumerate(super().items()):
                if number == 0:
                    threads.append(threading.Thread(target=progress.tell, args=(third, "compiling")))
                    threads[0].start()
                    threads[0].join(0.2)  # it waits for the table; else the dict changes while it is read
                yield item

    progress._running = Running({one: "epoch 1", other: "epoch 1"})
    progress._table()
    threads[0].join()
    assert list(progress._running) == [one, other, third]
    progress.failed(other, FAILURE)
    assert list(progress._running) == [one, third] and progress.failures["se"] == {0: FAILURE}
