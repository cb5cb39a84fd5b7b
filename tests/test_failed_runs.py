"""A run that fails ends no other run of its comparison, and what is told of it."""

import functools
import json
import os
import re
import types

import jax
import pytest
import tiny
from pages import text_of

from jaxattn import Config, fit
from jaxattn.comparison import train
from jaxattn.comparison.compare import compare, show
from jaxattn.errors import DivergenceError, InputError
from jaxattn.runs import compiled
from jaxattn.runs.manifest import check_folder, read_manifest
from jaxattn.training import loop

pytestmark = pytest.mark.usefixtures("small_network")
FLAGS = tiny.CONFIG | {"epochs": 1}


@pytest.fixture
def diverging(monkeypatch):
    """Every run of `se` with seed 1 diverges in epoch 1; gives the configurations that were trained."""
    epoch, trained = loop._epoch, []

    def one(build, train_mode, state, inputs, *rest):
        state, loss, accuracy = epoch(build, train_mode, state, inputs, *rest)
        return state, float("nan") if diverges[-1] else loss, accuracy

    def recorded(config, *rest):
        trained.append((config.attention, config.seed))
        diverges.append(trained[-1] == ("se", 1) and not os.environ.get("MENDED"))
        return fit(config, *rest)

    diverges = [False]
    monkeypatch.setattr(loop, "_epoch", one)
    monkeypatch.setattr(train, "fit", recorded)
    return trained


@pytest.mark.usefixtures("no_figures")
def test_a_run_that_diverges_stops_no_other_and_is_trained_again_only_where_asked(
    tmp_path, diverging, warnings_printed, monkeypatch
):
    folder, call = tmp_path / "c", functools.partial(compare, ["none", "se"], 2, **FLAGS)
    result = call(folder)
    assert diverging == [(name, seed) for seed in range(2) for name in ("none", "se")]
    assert {name: sorted(of) for name, of in result.failures.items()} == {"none": [], "se": [1]}
    record = json.loads((folder / "se-s1" / "failed.json").read_text())
    assert record["epoch"] == 1 and record["diverged"] and record["versions"]["jax"]
    assert record["reason"].startswith("the loss stopped being finite in epoch 1")
    assert re.search(r"se: .*, 1 of 2 seeds; seed 1 diverged in epoch 1: one seed: no spread, no verdict", str(result))
    (warning,) = warnings_printed
    assert warning.startswith("1 run failed (se seed 1 diverged in epoch 1). se seed 1: the loss stopped being finite")
    text = text_of(result.page.read_text())
    assert "1 run failed and is in no number here: se seed 1 diverged in epoch 1." in text and " 1 of 2 " in text
    assert "se seed 1 failed: the loss stopped being finite in epoch 1" in text

    diverging.clear()
    assert str(call(folder)) == str(result) == str(show(folder)) and diverging == []
    monkeypatch.setenv("MENDED", "1")
    again = call(folder, retry_failed=True)
    assert diverging == [("se", 1)] and not any(again.failures.values())
    assert not (folder / "se-s1" / "failed.json").exists() and ", 2 seeds: " in str(again)


@pytest.mark.usefixtures("no_figures", "warnings_printed")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("early", [True, False])
def test_an_exception_of_anyones_code_ends_one_run_and_its_traceback_is_kept(tmp_path, monkeypatch, threads, early):
    build, calls = compiled.build, []

    def broken(config, *sizes):
        calls.append(config.attention)
        if config.attention == "se" and early == (calls.count("se") == 1):  # which is before the data is loaded
            raise ZeroDivisionError("in my module\nand more")
        return build(config, *sizes)

    monkeypatch.setattr(train, "cached_build", lambda: broken)
    if threads > 1:
        two = types.SimpleNamespace(device_count=lambda: 2, devices=lambda: jax.devices()[:1] * 2)
        monkeypatch.setattr(train, "jax", two)
    folder = tmp_path / "c"
    result = compare(["none", "se"], 1, folder, **FLAGS)
    assert result.failures["se"][0].reason == "ZeroDivisionError: in my module"
    assert result.table.rows[0].variant.n == 1
    text = (folder / "se-s0" / "error.txt").read_text()
    assert text.startswith("Traceback") and "in broken" in text and text.endswith("in my module\nand more\n")
    assert text.count("Traceback") == 1 and not (early and (folder / "se-s0" / "config.json").exists())
    monkeypatch.setattr(train, "fit", None)  # nothing is trained again
    assert compare(["none", "se"], 1, folder, **FLAGS).failures == result.failures
    if early:  # the folder can still become the run's
        check_folder(folder / "se-s0", read_manifest(folder / "none-s0"))


def test_where_every_run_fails_the_first_reason_is_the_error(tmp_path, monkeypatch, warnings_printed):
    def diverged(*arguments):
        raise DivergenceError("the loss stopped being finite")

    monkeypatch.setattr(train, "fit", diverged)
    with pytest.raises(InputError, match="holds no finished run: the loss stopped being finite") as caught:
        compare(["none", "se"], 1, tmp_path / "c", **FLAGS)
    assert caught.value.setting == "retry_failed" and len(warnings_printed) == 1


def test_a_full_disk_is_no_failure_of_a_run_and_stops_the_comparison(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jaxattn.runs.fit.write_metrics", full)
    with pytest.raises(InputError, match=r"cannot write to .*none-s0: No space left on device; free space"):
        compare(["none", "se"], 1, tmp_path / "c", **FLAGS)
    assert not list((tmp_path / "c").glob("*/failed.json")) and not (tmp_path / "c" / "se-s0").exists()


@pytest.mark.usefixtures("no_figures")
def test_a_refusal_is_no_failure_and_the_same_call_trains_as_soon_as_nothing_is_refused(tmp_path):
    """A mirror of something else, and weights that are missing."""
    folder, mirror, weights = tmp_path / "c", tmp_path / "mirror", tmp_path / "weights"
    (mirror / "se-s0").mkdir(parents=True)
    (mirror / "se-s0" / "holiday.jpg").touch()
    call = functools.partial(compare, ["none", "se"], 1, folder, mirror=mirror, init=str(weights), **FLAGS)
    for refused, mended in (
        (r"there are no weights at .*weights", lambda: fit(Config(**FLAGS), weights)),
        (r"se-s0 holds other files", (mirror / "se-s0" / "holiday.jpg").unlink),
    ):
        with pytest.raises(InputError, match=refused):
            call()
        assert not list(folder.glob("*/failed.json"))
        assert "weights" not in refused or not (folder / "compare.json").exists()  # nothing is planned yet
        mended()
    assert not any(call().failures.values())


def test_a_run_whose_code_changed_before_it_finished_is_refused_and_is_no_failure(tmp_path, monkeypatch):
    def refused(config, folder, *rest):
        raise InputError("the code of mine:Gate has changed", "accept_changed_code")

    monkeypatch.setattr(train, "fit", refused)
    with pytest.raises(InputError, match="the code of mine:Gate has changed") as caught:
        compare(["none", "se"], 1, tmp_path / "c", **FLAGS)
    assert caught.value.setting == "accept_changed_code" and not list((tmp_path / "c").glob("*/failed.json"))
