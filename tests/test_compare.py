"""Comparing variants over seeds: what is trained, what is kept, what is refused, and the page."""

import datetime
import functools
import io
import json
import os
import re
import shutil
import threading
import types
from pathlib import Path

import chex
import jax
import jobs
import numpy as np
import pytest
import tiny

from jaxattn import Config, fit, load_run
from jaxattn.cli.command import run_command
from jaxattn.comparison import cluster, results, train
from jaxattn.comparison.compare import compare, of_runs, show
from jaxattn.comparison.plan import Plan, read_plan, run_name
from jaxattn.comparison.progress import Progress
from jaxattn.data import DATASETS
from jaxattn.errors import DivergenceError, InputError, Interrupted
from jaxattn.lock import exclusive_lock
from jaxattn.runs import compiled
from jaxattn.runs.console import Console
from jaxattn.runs.failure import Failure
from jaxattn.runs.manifest import check_folder, read_manifest
from jaxattn.training import loop, program

pytestmark = pytest.mark.usefixtures("small_network")
HERE = Path(__file__).parent
FLAGS = tiny.CONFIG | {"epochs": 1}
FAILURE = Failure("the loss stopped being finite", 1, True, {})


@pytest.fixture(scope="module")
def compared(small_network, tmp_path_factory):
    """The folder and the result of a comparison of two variants and two seeds."""
    folder = tmp_path_factory.mktemp("compared") / "c"
    return folder, compare(["none", "se"], 2, folder, **FLAGS)


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL))


def test_every_run_is_an_ordinary_run_folder_of_its_variant_and_seed(compared, tmp_path, quiet):
    folder, found = compared
    alone = fit(Config(attention="se", seed=1, **FLAGS), tmp_path / "alone", quiet)
    chex.assert_trees_all_equal(load_run(folder / "se-s1").variables, alone.variables)
    runs = results.of_plan(folder, read_plan(folder))
    assert {name: sorted(of) for name, of in runs.items()} == {"none": [0, 1], "se": [0, 1]}
    assert found.table.rows[1].variant.mean == np.mean([run.result["test_accuracy"] for run in runs["se"].values()])
    assert found.table.rows[1].verdict.text in str(found) and found.verdict.startswith("se ")


def test_same_seeds_start_from_the_same_weights_where_names_agree(compared):
    configs = dict(read_plan(compared[0]).runs())
    assert list(configs) == ["none-s0", "se-s0", "none-s1", "se-s1"]
    params = [
        program.build(configs[name], tiny.SPEC, 1).init(loop.keys(configs[name])[0]).params
        for name in ("none-s1", "se-s1")
    ]
    chex.assert_trees_all_equal(params[0]["block_2"]["conv"], params[1]["block_2"]["conv"])


@pytest.mark.usefixtures("no_figures")
def test_the_same_command_trains_nothing_again_and_more_seeds_extend_it(compared, tmp_path, monkeypatch):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    trained = []
    monkeypatch.setattr(train, "fit", lambda config, *rest: trained.append(config) or fit(config, *rest))
    compare(["none", "se"], 2, folder, **FLAGS)
    assert trained == []
    result = compare(["none", "se", "eca"], 3, folder, **FLAGS)
    assert [(config.attention, config.seed) for config in trained] == [
        ("eca", 0), ("eca", 1), ("none", 2), ("se", 2), ("eca", 2)
    ]  # fmt: skip
    (earlier,) = read_plan(folder).earlier
    assert earlier[:2] == ((2,), ("none", "se")) and earlier.date == datetime.date.today().isoformat()
    assert f"(planned before: 2 seeds of none, se, until {earlier.date})" in text_of(result.page.read_text())
    assert result.table.rows[1].verdict.text.count("extended without a plan after 2 seeds on 20") == 1
    with pytest.raises(InputError, match="seeds cannot be reduced"):
        compare(["none", "se"], 2, folder, **FLAGS)


@pytest.mark.usefixtures("no_figures")
def test_runs_are_restored_from_their_mirrors(tmp_path, monkeypatch):
    mirror = tmp_path / "mirror"
    compare(["none", "se"], 1, tmp_path / "lost", mirror=mirror, **FLAGS)
    assert sorted(path.name for path in mirror.iterdir()) == ["none-s0", "se-s0"]
    monkeypatch.setattr(loop, "_epoch", None)  # nothing is trained again
    compare(["none", "se"], 1, tmp_path / "new", mirror=mirror, **FLAGS)
    for name in ("none-s0", "se-s0"):
        lost, new = (load_run(tmp_path / folder / name).variables for folder in ("lost", "new"))
        chex.assert_trees_all_equal(lost, new)
    with pytest.raises(InputError, match="a mirror works only with the executor here; leave it out"):
        compare(["none", "se"], 1, tmp_path / "new", executor="local", mirror=mirror, **FLAGS)


def test_a_comparison_compiles_each_variant_once(tmp_path, quiet, monkeypatch):
    make = program.make_train_step
    monkeypatch.setattr(program, "make_train_step", lambda *a: chex.assert_max_traces(make(*a), n=1))
    build = compiled.cached_build()
    configs = [Config(attention=name, seed=seed, **FLAGS) for name in ("none", "se") for seed in range(3)]
    assert len({id(build(config, tiny.SPEC, 24)) for config in configs}) == 2
    for seed in range(2):
        fit(Config(seed=seed, **FLAGS), tmp_path / str(seed), quiet, build)  # raises where the step is traced twice


def test_another_configuration_in_the_folder_is_refused_by_name(compared):
    folder, _ = compared
    before = (folder / "compare.json").read_bytes()
    with pytest.raises(InputError, match=r"holds a comparison with learning_rate 0\.001, not 0\.5"):
        compare(["none", "se"], 3, folder, **FLAGS | {"learning_rate": 0.5})
    assert (folder / "compare.json").read_bytes() == before
    with pytest.raises(InputError, match="holds no comparison; choose an empty or a new folder"):
        compare(["none", "se"], 2, folder / "se-s0", **FLAGS)


@pytest.mark.usefixtures("no_figures")
def test_existing_runs_are_compared_and_runs_that_differ_are_refused(compared, tmp_path, quiet):
    folder, _ = compared
    runs = [folder / run_name(variant, seed) for variant in ("none", "se") for seed in (0, 1)]
    found = of_runs(runs, tmp_path / "page")
    assert found.page == tmp_path / "page" / "compare.html" and found.table.looks == ()
    fit(Config(attention="se", seed=4, **FLAGS | {"dropout": 0.25}), tmp_path / "other", quiet)
    found = of_runs([*runs, tmp_path / "other"], tmp_path / "page")
    assert [row.variant.name for row in found.table.rows] == ["none", "se", "se:dropout=0.25"]
    path = tmp_path / "other" / "config.json"
    path.write_text(path.read_text().replace('"network": "cnn"', '"network": "resnet20"'))
    tiny.edit_result(path.parent, network="resnet20")
    with pytest.raises(InputError, match=r"other is of resnet20, .*none-s0 of cnn"):
        of_runs([*runs, tmp_path / "other"], tmp_path / "page")
    with pytest.raises(InputError, match="hold the same variant and seed"):
        of_runs([*runs, runs[0]], tmp_path / "page")


def swapped(folder):
    (folder / "none-s0").rename(folder / "x"), (folder / "se-s0").rename(folder / "none-s0")
    (folder / "x").rename(folder / "se-s0")


def copied(folder):
    shutil.rmtree(folder / "none-s1"), shutil.copytree(folder / "none-s0", folder / "none-s1")


def edited(**change):
    def edit(folder):
        values = json.loads((folder / "se-s1" / "config.json").read_text())
        (folder / "se-s1" / "config.json").write_text(json.dumps(values | change))

    return edit


def wrong_accuracy(folder):
    values = json.loads((folder / "se-s1" / "result.json").read_text())
    tiny.edit_result(folder / "se-s1", test_accuracy=(values["test_accuracy"] + 0.5) % 1)


def others_weights(folder):
    shutil.copy(folder / "se-s0/checkpoints/epoch-1.safetensors", folder / "se-s1/checkpoints/epoch-1.safetensors")
    (folder / "se-s1" / results.PREDICTIONS).unlink()


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (swapped, "none-s0 must hold a run with attention none, found se; move it elsewhere"),
        (copied, "none-s1 must hold a run with seed 1, found 0; move it elsewhere"),
        (edited(dropout=0.25), r"se-s1 must hold a run with dropout 0\.0, found 0\.25"),
        (edited(dataset_hash="0"), "se-s1 was trained on other images than this comparison"),
        (wrong_accuracy, r"se-s1/result\.json says that \d+ of 40 test images were classified correctly, and"),
        (others_weights, r"se-s1/checkpoints/epoch-1\.safetensors is damaged: it is of another run or epoch"),
    ],
)
def test_a_folder_that_does_not_hold_the_planned_run_is_refused_by_name_before_more_is_trained(
    compared, tmp_path, change, reason
):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    change(folder)
    before = (folder / "compare.json").read_bytes()
    for call in (lambda: show(folder), functools.partial(compare, ["none", "se"], 2, folder, **FLAGS)):
        with pytest.raises(InputError, match=reason) as caught:
            call()
        assert "\n" not in str(caught.value) and (folder / "compare.json").read_bytes() == before


def test_no_run_is_added_that_is_trained_on_other_data(compared, tmp_path, monkeypatch):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    monkeypatch.setitem(DATASETS, "tiny", tiny.dataset(seed=1))
    with pytest.raises(InputError, match="none-s0 was trained on other images than this comparison") as caught:
        compare(["none", "se"], 3, folder, **FLAGS)
    assert caught.value.setting == "data_dir" and not (folder / "none-s2").exists()
    assert read_plan(folder).seeds == 2


@pytest.mark.usefixtures("no_figures")
def test_knocked_out_gates_count_where_they_are_known(compared, tmp_path):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    path = folder / "se-s1" / results.PREDICTIONS
    with np.load(path) as file:
        kept = {name: file[name] for name in ("of", "intact")}
    np.savez_compressed(path, **kept)
    assert "Gate knock-out" in text_of(show(folder).page.read_text())


def planned(folder, name):
    """A run's folder in a comparison that was planned and then stopped."""

    def stop(*arguments):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxattn.comparison.compare._train", stop)
        with pytest.raises(KeyboardInterrupt):
            compare(["none", "se"], 1, folder, **FLAGS)
    (folder / name).mkdir()
    return folder / name


@pytest.mark.usefixtures("no_figures")
def test_a_run_in_another_process_is_left_to_it(tmp_path):
    folder = tmp_path / "c"
    with exclusive_lock(planned(folder, "se-s0")):
        found = compare(["none", "se"], 1, folder, **FLAGS)
    assert (folder / "none-s0" / "result.json").exists() and not (folder / "se-s0" / "result.json").exists()
    assert found.table.rows[1].verdict.kind == "none"


def test_where_all_runs_are_in_other_processes_there_is_nothing_to_judge_yet(tmp_path):
    folder = tmp_path / "c"
    planned(folder, "se-s0"), (folder / "none-s0").mkdir()
    with (
        exclusive_lock(folder / "none-s0"),
        exclusive_lock(folder / "se-s0"),
        pytest.raises(InputError, match="holds no finished run yet"),
    ):
        compare(["none", "se"], 1, folder, **FLAGS)


def test_ctrl_c_says_that_the_same_command_goes_on(tmp_path, monkeypatch, capsys):
    epoch, calls = loop._epoch, []

    def stopped(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return epoch(*arguments)

    monkeypatch.setattr(loop, "_epoch", stopped)
    with pytest.raises(SystemExit) as caught:
        run_command(lambda _: compare(["none", "se"], 1, tmp_path / "c", **FLAGS))
    assert caught.value.code == 130
    assert f"stopped; 1 finished runs are kept in {tmp_path / 'c'}; the same command resumes" in capsys.readouterr().out


def test_the_page_shows_verdict_table_knockout_and_what_was_run(compared):
    html = (compared[0] / "compare.html").read_text()
    text = text_of(html)
    assert compared[1].table.rows[1].verdict.text in text
    for part in ("Differences to none", "Gate knock-out", "Learning curves", "Accuracy against cost", "by class"):
        assert part in text
    assert "jaxattn compare --attention none se --seeds 2 --dataset tiny" in text
    assert not re.search(r"(src|href)=\"(?!#|data:)[^\"]*//", html) and "<script" not in html
    names = {path.name for path in (compared[0] / "figures").iterdir()}
    assert {"seeds.png", "seeds.svg", "differences.png", "curves.svg", "costs.png", "gates-se.png"} <= names


@pytest.mark.usefixtures("no_figures")
def test_pages_link_to_reports_that_are_there(compared, tmp_path):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    (folder / "se-s0" / "report.html").write_text("a report")
    assert 'href="se-s0/report.html"' in show(folder).page.read_text()


def test_predictions_are_kept_and_made_again_where_they_are_damaged(compared, tmp_path):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    run = results.of_plan(folder, read_plan(folder))["se"][0]
    test, path = tiny.splits().test, run.folder / results.PREDICTIONS
    kept = results.predictions(run, test)
    assert np.mean(kept["intact"] == test.labels) == pytest.approx(run.result["test_accuracy"])
    content = path.read_bytes()
    with np.load(path) as file:
        of = file["of"]
    damages = [b"PK half a file", b"", *(content[: len(content) * part // 8] for part in range(1, 8))]
    damages.append(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    changes = (
        {"one": kept["one"][:-1]},
        {"one": kept["one"].astype(float)},
        {"one": kept["one"] + 10},
        {"one": kept["one"] - 10},
        {"other": kept["one"]},
    )
    for change in changes:
        stream = io.BytesIO()
        np.savez_compressed(stream, of=of, **kept | change)
        damages.append(stream.getvalue())
    stream = io.BytesIO()
    np.savez_compressed(stream, of=of, **{name: kept[name] for name in ("intact", "mean", "other image")})
    for damage in (*damages, stream.getvalue()):
        path.write_bytes(damage)
        chex.assert_trees_all_equal(results.predictions(run, test), kept)
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"variants": "se"}, "variants must be a list of names"),
        ({"variants": []}, "variants must be a list of names"),
        ({"variants": ["none", 1]}, "variants must be a list of names"),
        ({"variants": ["se", "se"]}, "two variants have the same name"),
        ({"looks": [10**12]}, "seeds must be a whole number from 1 to 1,000"),
        ({"looks": [2.5]}, "seeds must be a whole number from 1 to 1,000, found 2.5"),
        ({"looks": [3, 2]}, r"numbers of seeds must be ascending, found \[3, 2\]"),
        ({"looks": []}, "numbers of seeds must be ascending"),
        ({"looks": 2}, "is damaged"),
        ({"margin": "large"}, "is damaged"),
        ({"earlier": [{"looks": [0], "variants": [], "date": ""}]}, "seeds must be a whole number"),
        ({"earlier": 1}, "is damaged"),
        ({"config": []}, "is damaged"),
    ],
)
def test_a_damaged_plan_is_reported(compared, tmp_path, change, reason):
    values = json.loads((compared[0] / "compare.json").read_text())
    (tmp_path / "compare.json").write_text(json.dumps(values | change))
    with pytest.raises(InputError, match=reason):
        read_plan(tmp_path).runs()


@pytest.mark.usefixtures("no_figures")
def test_jobs_are_processes_that_train_a_run_each_and_one_that_fails_spoils_no_other(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0)  # a killed job leaves no result to wait for
    monkeypatch.setattr(cluster, "SECONDS_BETWEEN_LOOKS", 0.2)
    monkeypatch.setattr(cluster, "run", jobs.run)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (HERE.parent, HERE))))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    folder, call = tmp_path / "c", functools.partial(compare, ["none", "se"], 1, executor="local", **FLAGS)
    monkeypatch.setenv("JOBS_END", "se")
    warnings = []
    monkeypatch.setattr(Console, "warn", lambda self, text: warnings.append(text))
    found = call(folder)
    (warning,) = warnings
    assert re.fullmatch(r"1 jobs failed; .* The first, se-s0, says in \S+: .+", warning)
    assert {row.variant.name: row.variant.n for row in found.table.rows} == {"none": 1, "se": 0}
    assert not found.failures["se"]  # whoever killed it may have had reasons: it is tried again
    kept = (folder / "none-s0" / "result.json").stat().st_mtime_ns
    monkeypatch.delenv("JOBS_END")
    monkeypatch.setenv("JOBS_DIVERGE", "se")
    assert call(folder).failures["se"][0].diverged and warnings[-1].startswith("1 run failed (se seed 0 diverged in")
    monkeypatch.delenv("JOBS_DIVERGE")
    assert {row.variant.n for row in call(folder, retry_failed=True).table.rows} == {1}
    assert (folder / "none-s0" / "result.json").stat().st_mtime_ns == kept
    submitted = len(list((folder / "jobs").glob("*_submitted.pkl")))
    assert {row.variant.n for row in call(folder).table.rows} == {1} and submitted == 2 + 1 + 1
    assert len(list((folder / "jobs").glob("*_submitted.pkl"))) == submitted


def test_ctrl_c_while_jobs_run_says_that_the_same_call_goes_on(tmp_path, monkeypatch):
    pytest.importorskip("submitit")

    def stop(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster, "run", lambda config, path, *options: None)
    monkeypatch.setattr(cluster, "time", types.SimpleNamespace(sleep=stop))
    with pytest.raises(Interrupted, match="stopped; 0 finished runs are kept in"):
        compare(["none", "se"], 1, tmp_path / "c", executor="debug", **FLAGS)  # submitit's, in this process


# runs that fail


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


@pytest.fixture
def warnings_printed(monkeypatch):
    warnings = []
    monkeypatch.setattr(Console, "warn", lambda self, text: warnings.append(text))
    return warnings


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


@pytest.mark.usefixtures("no_figures", "warnings_printed")
@pytest.mark.parametrize("name", ["config.json", "result.json", "metrics.jsonl"])
def test_a_damaged_file_of_one_run_costs_no_other(compared, tmp_path, name):
    folder = shutil.copytree(compared[0], tmp_path / "c")
    (folder / "se-s1" / name).write_text("{")
    result = compare(["none", "se"], 2, folder, **FLAGS)
    assert name in result.failures["se"][1].reason and "is damaged" in result.failures["se"][1].reason
    assert "1 of 2 seeds; seed 1 failed" in str(result)


def test_a_job_on_this_machine_leaves_its_gpus_alone(tmp_path, monkeypatch):
    settings = []
    monkeypatch.setattr(jax.config, "update", lambda *setting: settings.append(setting))
    monkeypatch.setattr("jaxattn.runs.fit.fit", lambda *arguments, **options: None)
    cluster.run(Config(**FLAGS), tmp_path, on_cpu=True)
    assert settings == [("jax_platforms", "cpu")]
    cluster.run(Config(**FLAGS), tmp_path)
    assert len(settings) == 1


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
