"""What `fit` compiles: once, while the data loads, for a number of steps a call."""

import dataclasses
import sys
import weakref
from types import SimpleNamespace

import chex
import pytest
import tiny

from jaxattn import Config, fit, load_run
from jaxattn.data import DATASETS
from jaxattn.runs import compiled, data, warmup
from jaxattn.runs.console import Console
from jaxattn.training import program

pytestmark = pytest.mark.usefixtures("small_network")


def test_the_state_that_is_drawn_while_the_data_loads_is_the_one_drawn_after(tmp_path, quiet, monkeypatch):
    config = Config(**tiny.CONFIG | {"epochs": 1})
    early = fit(config, tmp_path / "early", quiet)
    monkeypatch.setattr(sys.modules["jaxattn.runs.fit"], "load_and_init", late)
    chex.assert_trees_all_equal(fit(config, tmp_path / "late", quiet).variables, early.variables)


def late(config, out, console, build):
    config = data.with_absolute_paths(config)
    return *data.load_data(config, data.find(config), console), lambda: None


def test_tests_that_train_and_load_share_one_program(tmp_path, quiet, request):
    shared = request.getfixturevalue("small_network")
    config = Config(**tiny.CONFIG | {"epochs": 1})
    fit(config, tmp_path / "0", quiet)
    before = shared.cache_info()
    fit(dataclasses.replace(config, seed=1), tmp_path / "1", quiet)
    load_run(tmp_path / "1")
    after = shared.cache_info()
    assert after.misses == before.misses and after.hits >= before.hits + 2


def test_a_run_traces_its_step_once_and_its_evaluation_once_for_each_split(tmp_path, quiet, monkeypatch):
    step, evaluation = program.make_train_step, program.make_eval_step
    monkeypatch.setattr(program, "make_train_step", lambda *a: chex.assert_max_traces(step(*a), n=1))
    monkeypatch.setattr(program, "make_eval_step", lambda *a: chex.assert_max_traces(evaluation(*a), n=2))
    fit(Config(**tiny.CONFIG), tmp_path / "run", quiet)  # raises where there are more


@pytest.mark.parametrize("extra", [0, 8])
def test_a_step_that_is_compiled_while_the_data_loads_is_the_one_that_trains(tmp_path, quiet, monkeypatch, extra):
    """Facts that do not come true cost time and change nothing."""
    config = Config(**tiny.CONFIG | {"epochs": 1})
    late = fit(config, tmp_path / "late", quiet)
    step, begun = program.make_train_step, []
    chex.clear_trace_counter()  # it counts by the names of functions on the stack

    def begin(*arguments):
        begun.append(arguments)
        return compiled.compile_and_init(*arguments)

    spec = dataclasses.replace(tiny.SPEC, train=tiny.SPEC.train + extra)
    monkeypatch.setitem(DATASETS, "tiny", dataclasses.replace(tiny.dataset(), spec=spec))
    monkeypatch.setattr(warmup, "compiled", SimpleNamespace(compile_and_init=begin, check=compiled.check))
    monkeypatch.setattr(program, "make_train_step", lambda *a: chex.assert_max_traces(step(*a), n=2 if extra else 1))
    chex.assert_trees_all_equal(fit(config, tmp_path / "early", quiet).variables, late.variables)
    assert len(begun) == 1
    fit(config, tmp_path / "early", quiet)  # nothing is left to train
    assert len(begun) == 1


def test_run_of_many_steps_a_call_equals_one_of_single_steps(tmp_path, quiet, monkeypatch):
    config = Config(**tiny.CONFIG | {"augment": "full", "epochs": 1})
    single = fit(config, tmp_path / "single", quiet)
    monkeypatch.setattr(program, "steps_in_call", lambda platform, steps_per_epoch: 7)  # of 24: 3 calls, 3 steps
    many = fit(config, tmp_path / "many", quiet)
    for one, other in zip(single.metrics, many.metrics, strict=True):
        for name in ("train_loss", "val_loss", "learning_rate"):
            assert one[name] == pytest.approx(other[name], rel=1e-3)  # rounding was seen to grow to 5e-5


@pytest.mark.parametrize(("steps", "count"), [(1, 1), (9, 9), (100, 100), (351, 70), (703, 78), (781, 71)])
def test_calls_leave_few_steps_over_on_accelerators_and_hold_one_on_a_cpu(steps, count):
    assert program.steps_in_call("tpu", steps) == count
    assert program.steps_in_call("cpu", steps) == 1


def test_training_holds_no_second_copy_of_the_images(tmp_path, quiet, monkeypatch):
    copies, held = [], []

    def divide(config, splits, lazy):
        train, monitored = data.divide(config, splits, lazy)
        copies.extend(map(weakref.ref, (splits, splits.train.images, train)))
        return train, monitored

    def watch(console, *arguments):
        held.extend(copy() is not None for copy in copies)
        return bar(console, *arguments)

    bar = Console.bar
    monkeypatch.setattr(Console, "bar", watch)
    monkeypatch.setattr("jaxattn.runs.fit.divide", divide)
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet)
    assert held == [False, False, False]
