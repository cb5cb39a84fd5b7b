"""Runs of a comparison in other processes: jobs, and runs that someone else trains."""

import functools
import os
import re
import types
from pathlib import Path

import jax
import jobs
import pytest
import tiny

from jaxattn import Config
from jaxattn.comparison import cluster
from jaxattn.comparison.compare import compare
from jaxattn.comparison.plan import Plan
from jaxattn.comparison.progress import Progress
from jaxattn.errors import InputError, Interrupted
from jaxattn.lock import exclusive_lock
from jaxattn.runs.console import Console

pytestmark = pytest.mark.usefixtures("small_network")
HERE = Path(__file__).parent
FLAGS = tiny.CONFIG | {"epochs": 1}


def planned(folder, name, seeds=1):
    """A run's folder in a comparison that was planned and then stopped."""

    def stop(*arguments):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxattn.comparison.compare._train", stop)
        with pytest.raises(KeyboardInterrupt):
            compare(["none", "se"], seeds, folder, **FLAGS)
    (folder / name).mkdir()
    return folder / name


@pytest.mark.usefixtures("no_figures")
def test_a_run_in_another_process_is_left_to_it(tmp_path):
    folder = tmp_path / "c"
    with exclusive_lock(planned(folder, "se-s0")):
        found = compare(["none", "se"], 1, folder, **FLAGS)
    assert (folder / "none-s0" / "result.json").exists() and not (folder / "se-s0" / "result.json").exists()
    assert found.table.rows[1].verdict.kind == "none"


def test_more_seeds_wait_for_runs_of_a_look_in_another_process(trained, tmp_path):
    with exclusive_lock(planned(tmp_path / "c", "se-s0", [2, 3])):
        found = compare(["none", "se"], [2, 3], tmp_path / "c", **FLAGS)
    assert {config.seed for config in trained} == {0, 1} and found.table.rows[1].verdict.kind == "none"


def test_where_all_runs_are_in_other_processes_there_is_nothing_to_judge_yet(tmp_path):
    folder = tmp_path / "c"
    planned(folder, "se-s0"), (folder / "none-s0").mkdir()
    with (
        exclusive_lock(folder / "none-s0"),
        exclusive_lock(folder / "se-s0"),
        pytest.raises(InputError, match="holds no finished run yet"),
    ):
        compare(["none", "se"], 1, folder, **FLAGS)


@pytest.mark.usefixtures("no_figures")
def test_jobs_are_processes_that_train_a_run_each_and_one_that_fails_spoils_no_other(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0)  # a killed job leaves no result to wait for
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0.2)
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


def test_on_this_machine_a_job_runs_for_every_two_cores(tmp_path, monkeypatch):
    """The jobs end one after the other without a result: the third one failed, the others left their runs."""
    active, most = [], []

    class Job:
        paths = types.SimpleNamespace(stderr="log")

        def __init__(self, error):
            self.error, self.asked = error, 0
            active.append(self)
            most.append(len(active))

        def done(self):
            self.asked += 1
            if self.asked == 2:
                active.remove(self)
            return self.asked >= 2

        def exception(self):
            return self.error

        def stderr(self):
            return "first line\nlast words\n"

    errors = iter([None, None, RuntimeError("killed"), None, None])
    manager = types.SimpleNamespace(submit=lambda *arguments: Job(next(errors)))
    monkeypatch.setattr(cluster, "_manager", lambda *arguments: manager)
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    warned = []
    runs = [(tmp_path / str(number), Config(seed=number)) for number in range(5)]
    progress = Progress(Plan(Config(), ("none", "se"), (5,)), {}, {}, Console(quiet=True))
    monkeypatch.setattr(progress, "warn", warned.append)
    elsewhere = cluster.submit(tmp_path / "jobs", runs, "local", progress)
    assert max(most) == 2 and elsewhere == [path for path, config in runs if config.seed != 2]
    assert warned == ["1 jobs failed; the same call tries again. The first, 2, says in log: last words"]


def test_ctrl_c_while_jobs_run_says_that_the_same_call_goes_on(tmp_path, monkeypatch):
    pytest.importorskip("submitit")

    def stop(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster, "run", lambda config, path, *options: None)
    monkeypatch.setattr(cluster, "time", types.SimpleNamespace(sleep=stop))
    with pytest.raises(Interrupted, match="stopped; 0 finished runs are kept in"):
        compare(["none", "se"], 1, tmp_path / "c", executor="debug", **FLAGS)  # submitit's, in this process


def test_a_job_on_this_machine_leaves_its_gpus_alone(tmp_path, monkeypatch):
    settings = []
    monkeypatch.setattr(jax.config, "update", lambda *setting: settings.append(setting))
    monkeypatch.setattr("jaxattn.runs.fit.fit", lambda *arguments, **options: None)
    cluster.run(Config(**FLAGS), tmp_path, on_cpu=True)
    assert settings == [("jax_platforms", "cpu")]
    cluster.run(Config(**FLAGS), tmp_path)
    assert len(settings) == 1
