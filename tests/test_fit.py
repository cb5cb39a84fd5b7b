"""Training into a run folder, in this process: what it writes, what it refuses, and how it resumes."""

import dataclasses
import errno
import json
import os
import sys
import weakref
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

import jaxattn
from jaxattn import ATTENTION, CNN, Config, fit, load_run, networks, resume, runtime
from jaxattn.comparison.compare import compare
from jaxattn.data import DATASETS
from jaxattn.data.augment import to_input
from jaxattn.data.dataset import Dataset
from jaxattn.data.splits import Split
from jaxattn.errors import InputError, Interrupted, UnavailableError
from jaxattn.lock import FILE as LOCK
from jaxattn.lock import exclusive_lock
from jaxattn.runs import checkpoint, compiled, data, environment, warmup
from jaxattn.runs.console import Console
from jaxattn.runs.formats import NEWER
from jaxattn.runs.history import Start
from jaxattn.runs.manifest import Manifest, claim, read_manifest
from jaxattn.training import initial, loop, program
from jaxattn.training.evaluation import evaluate

pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture
def tutorials_network(monkeypatch):
    monkeypatch.setattr(program, "create", networks.create)
    monkeypatch.setattr(program, "KEEP_BARRIERS", runtime.KEEP_BARRIERS)


# Each ingredient of a short training.
RECIPE = {
    **tiny.CONFIG,
    "keep": "last",
    "optimizer": "sgd",
    "schedule": "linear",
    "norm_bias_rate": 8.0,
    "muon_rate": 0.02,
    "muon_decay": 0.1,
    "label_smoothing": 0.1,
    "ema": 0.9,
    "first_conv": "whitening",
    "later_convs": "dirac",
    "flips": "alternating",
}


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# what a run is


@pytest.mark.usefixtures("tutorials_network")
def test_run_folder_holds_what_is_promised(tmp_path, quiet):
    done = fit(Config(attention="se", **tiny.CONFIG), tmp_path / "run", quiet)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["attention"] == "se"
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    for line in lines:
        assert {
            "train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "images_per_second", "seconds",
            "augmentation_share", "step_share", "evaluation_share",
        } < line.keys()  # fmt: skip
        shares = [line[f"{part}_share"] for part in ("augmentation", "step", "evaluation")]
        assert min(shares) >= 0 and sum(shares) == pytest.approx(1, abs=0.002)  # rounded to thousandths
        right = 16 * line["val_accuracy"], 144 * line["train_accuracy"]  # of the images of each split
        assert right == pytest.approx(np.round(right)) and line["learning_rate"] == 1e-3
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert {
        "test_loss", "test_accuracy", "best_epoch", "dataset", "dataset_hash", "attention", "seed", "parameters",
        "seconds", "versions", "device", "monitored",
    } < result.keys()  # fmt: skip
    assert result["versions"].keys() == {"jaxattn", "jax", "jaxlib", "flax", "optax", "numpy", "python"}
    assert result["parameters"] == 1_150_602 and result["dataset_hash"] == tiny.splits().digest()
    assert {**done.result, "digest": result["digest"]} == result and done.metrics == lines
    assert checkpoint.epochs(tmp_path / "run" / "checkpoints")[-1] == 2


def test_result_is_the_tested_epochs_accuracy_on_the_test_set(tmp_path, quiet):
    done = fit(Config(**tiny.CONFIG), tmp_path / "run", quiet)
    splits = tiny.splits()
    built = program.build(done.config, tiny.SPEC, 1)
    loss, accuracy, logits = evaluate(built.evaluate, done.variables, splits.test)
    assert (loss, accuracy) == (done.result["test_loss"], done.result["test_accuracy"])
    assert accuracy == np.mean(logits.argmax(-1) == splits.test.labels)
    assert done.epoch == done.result["tested_epoch"] == done.result["best_epoch"]


@pytest.mark.usefixtures("tutorials_network")
def test_library_offers_what_the_readme_says(tmp_path, quiet):
    assert set(jaxattn.__all__) >= {"CNN", "ATTENTION", "Config", "fit", "load_run"}
    done = fit(Config(attention="se", **tiny.CONFIG), tmp_path / "run", quiet)
    loaded = load_run(tmp_path / "run")
    images = to_input(jnp.asarray(tiny.splits().test.images[:3]), tiny.SPEC)
    logits = CNN(attention=ATTENTION["se"]).apply(loaded.variables, images)
    np.testing.assert_array_equal(logits, loaded.model.apply(done.variables, images))
    assert load_run(tmp_path / "run", "last").epoch == 2
    with pytest.raises(InputError, match="unknown choice of weights 'first'; known are best, last, tested"):
        load_run(tmp_path / "run", "first")


@pytest.mark.usefixtures("tutorials_network")
def test_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, quiet):
    config = Config(**tiny.CONFIG | {"batch_size": 8})  # enough for Winograd in the second block
    runs = [fit(dataclasses.replace(config, seed=seed), tmp_path / str(i), quiet) for i, seed in enumerate((1, 1, 2))]
    leaves = [b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(done.variables)) for done in runs]
    assert leaves[0] == leaves[1] != leaves[2]


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


OWN_MODULE = """
import jax.numpy as jnp
from flax import linen as nn

class Counting(nn.Module):
    train: bool = False

    @nn.compact
    def __call__(self, x):
        steps = self.variable("memory", "steps", jnp.zeros, (), jnp.int32)
        if self.train and not self.is_initializing():
            steps.value += 1
        return x * self.param("scale", nn.initializers.ones, ())
"""


def test_a_collection_of_ones_own_module_is_trained_checkpointed_and_resumed(tmp_path, quiet, monkeypatch):
    (tmp_path / "own_collection.py").write_text(OWN_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    config = Config(attention="own_collection:Counting", **tiny.CONFIG | {"epochs": 1, "ema": 0.9})
    fit(config, tmp_path / "run", quiet)
    resume(tmp_path / "run", epochs=2, console=quiet)
    found = load_run(tmp_path / "run", "last").variables
    assert found.keys() == {"params", "batch_stats", "memory"}
    assert [int(found["memory"][f"block_{i}"]["attention"]["steps"]) for i in (1, 2, 3)] == [48] * 3  # 24 an epoch
    sys.modules.pop("own_collection")


def stop_after_the_first_epoch(monkeypatch):
    epoch = loop._epoch

    def stopped(program, train_mode, state, *rest):
        if int(state.step) > 0:
            raise KeyboardInterrupt
        return epoch(program, train_mode, state, *rest)

    monkeypatch.setattr(loop, "_epoch", stopped)


def test_the_average_is_what_is_tested_loaded_and_resumed_to_the_bit(tmp_path, quiet, monkeypatch):
    whole = fit(Config(**RECIPE), tmp_path / "whole", quiet)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        stop_after_the_first_epoch(patch)
        fit(Config(**RECIPE), tmp_path / "part", quiet)
    resume(tmp_path / "part", console=quiet)
    template = program.template(program.build(Config(**RECIPE), tiny.SPEC, 1))
    state, other = (checkpoint.restore(tmp_path / run / "checkpoints", 2, template) for run in ("whole", "part"))
    chex.assert_trees_all_equal(state, other)
    chex.assert_trees_all_equal(state.average, whole.variables, load_run(tmp_path / "whole").variables)
    assert not np.array_equal(state.average["params"]["head"]["kernel"], state.params["head"]["kernel"])


def test_initial_kernels_are_whitening_and_dirac_where_the_recipe_says_so(tmp_path, quiet, monkeypatch):
    started = []

    def stop(program, config, state, *rest):
        started.append(state)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", stop)
    with pytest.raises(Interrupted):
        fit(Config(**RECIPE), tmp_path / "run", quiet)
    train, _ = data.divide(Config(**RECIPE), tiny.splits())
    kernel = np.asarray(started[0].params["block_1"]["conv"]["kernel"])
    np.testing.assert_array_equal(kernel, initial.whitening_kernel(train.images, tiny.SPEC, kernel))
    np.testing.assert_array_equal(started[0].params["block_2"]["conv"]["kernel"][1, 1, :, :4], np.eye(4))
    chex.assert_trees_all_equal(started[0].params, started[0].average["params"])


def test_without_held_out_images_all_train_and_the_last_epoch_is_tested(tmp_path, capsys):
    config = Config(**tiny.CONFIG | {"validation": 0.0, "keep": "last", "schedule": "linear"})
    done = fit(config, tmp_path / "run")
    assert done.result["monitored"] is None and done.epoch == done.result["best_epoch"] == 2
    assert "val_loss" not in done.metrics[0]
    written = capsys.readouterr().out
    assert "160 training images, 0 validation" in written and "val loss" not in written


def test_flips_at_test_time_are_reported_beside_the_result(tmp_path, quiet):
    config = Config(**tiny.CONFIG | {"epochs": 1})
    plain = fit(config, tmp_path / "plain", quiet).result
    run = fit(dataclasses.replace(config, test_augmentation="flips"), tmp_path / "flips", quiet)
    both = run.result
    assert both["test_accuracy"] == plain["test_accuracy"] and "test_accuracy_with_flips" not in plain
    built, test = program.build(config, tiny.SPEC, 1), tiny.splits().test
    mirrored = Split(np.ascontiguousarray(test.images[:, :, ::-1]), test.labels)
    logits = sum(evaluate(built.evaluate, run.variables, split)[2] for split in (test, mirrored))
    assert both["test_accuracy_with_flips"] == np.mean(logits.argmax(-1) == test.labels)


# the data


def test_validation_is_monitored_and_test_images_are_not_seen_in_the_standard_recipe():
    splits = tiny.splits()
    train, monitored = data.divide(Config(**tiny.CONFIG), splits)
    assert (len(train), len(monitored)) == (144, 16)
    held_out = {image.tobytes() for image in monitored.images}
    assert held_out.isdisjoint({image.tobytes() for image in train.images})
    assert held_out < {image.tobytes() for image in splits.train.images}


def test_original_recipe_trains_on_everything_and_monitors_the_test_set(tmp_path, quiet, monkeypatch):
    config = Config(recipe="original", **tiny.CONFIG)
    train, monitored = data.divide(config, tiny.splits())
    assert len(train) == 160
    np.testing.assert_array_equal(monitored.images, tiny.splits().test.images)
    traced, modes = [], []
    make, epoch = program.make_train_step, loop._epoch
    monkeypatch.setattr(program, "make_train_step", lambda *a: lambda *b: (traced.append(a[3]), make(*a)(*b))[1])
    monkeypatch.setattr(loop, "_epoch", lambda *a: (modes.append(a[1]), epoch(*a))[1])
    done = fit(dataclasses.replace(config, epochs=3), tmp_path / "run", quiet)
    assert modes == [True, False, False] and traced == [True, False]  # the first epoch alone is in training mode
    assert done.result["monitored"] == "test" and done.result["tested_epoch"] == 3
    assert done.result["test_loss"] == pytest.approx(done.metrics[-1]["val_loss"], rel=1e-6)


def test_too_few_images_are_reported():
    with pytest.raises(InputError, match="batch_size must be at most the 144 training images, got 145"):
        data.divide(Config(**tiny.CONFIG | {"batch_size": 145}), tiny.splits())
    with pytest.raises(InputError, match="validation must hold out an image"):
        data.divide(Config(**tiny.CONFIG | {"validation": 0.001}), tiny.splits())


def test_cifar10_is_the_default_where_it_is_available(tmp_path, quiet, monkeypatch):
    monkeypatch.setitem(DATASETS, "cifar10", tiny.dataset())
    config = Config(**tiny.CONFIG | {"dataset": None})
    assert data.load_data(config, data.find(config), quiet)[0].dataset == "cifar10"


def test_without_cifar10_shapes_are_trained_on_after_a_warning(tmp_path, capsys, monkeypatch):
    def nowhere(data_dir):
        raise UnavailableError("no CIFAR-10 anywhere")

    monkeypatch.setitem(DATASETS, "cifar10", Dataset(tiny.SPEC, nowhere))
    monkeypatch.setitem(DATASETS, "shapes", tiny.dataset())
    done = fit(Config(**tiny.CONFIG | {"dataset": None, "epochs": 1}), tmp_path / "run")
    assert done.config.dataset == done.result["dataset"] == "shapes"
    printed = capsys.readouterr().out
    assert "WARNING" in printed and "no CIFAR-10 anywhere" in printed
    warning = "CIFAR-10 was not available and no data set was named: the built-in data set shapes was used instead"
    assert done.result["notes"] == list(load_run(tmp_path / "run").notes) == [warning]
    assert fit(dataclasses.replace(done.config, dataset="shapes"), tmp_path / "named").result["notes"] == []
    with pytest.raises(UnavailableError, match="no CIFAR-10 anywhere"):  # a comparison is of one data set
        compare(["none", "se"], 1, tmp_path / "compared", **tiny.CONFIG | {"dataset": None})
    assert not (tmp_path / "compared").exists()
    with pytest.raises(UnavailableError):
        fit(Config(**tiny.CONFIG | {"dataset": "cifar10"}), tmp_path / "other")


def test_damaged_cifar10_is_reported_and_never_replaced_by_shapes(tmp_path, quiet):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(InputError, match=r"cifar-10-binary\.tar\.gz must be a folder or archive"):
        fit(Config(**tiny.CONFIG | {"dataset": None, "data_dir": str(tmp_path)}), tmp_path / "run", quiet)


@pytest.mark.parametrize("given", ["data", "./data", "~/data", "/data"])
def test_a_relative_data_folder_is_stored_absolute_and_one_at_home_as_it_is(tmp_path, quiet, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    config = data.with_absolute_paths(Config(**tiny.CONFIG | {"data_dir": given}))
    config, splits = data.load_data(config, data.find(config), quiet)
    with claim(tmp_path / "run", Manifest(config, splits.spec, splits.digest())):
        stored = read_manifest(tmp_path / "run").config.data_dir
    assert stored == (given if given[0] in "~/" else str(tmp_path / "data"))


# the folder


def test_folder_of_another_configuration_is_refused_and_left_alone(tmp_path, quiet):
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet)
    before = files(tmp_path / "run")
    with pytest.raises(InputError, match=r"holds a run with attention none, not se; choose another folder$") as caught:
        fit(Config(attention="se", **tiny.CONFIG), tmp_path / "run", quiet)
    assert caught.value.setting == "out"
    assert before == files(tmp_path / "run")


def test_folder_that_another_process_trains_in_is_refused_and_left_alone(tmp_path, quiet):
    folder = tmp_path / "run"
    folder.mkdir()
    with exclusive_lock(folder):
        with pytest.raises(InputError, match=r"another process is training in .*run; wait for it or stop it, or choos"):
            fit(Config(**tiny.CONFIG), folder, quiet)
        assert [path.name for path in folder.iterdir()] == [LOCK]
    with claim(folder, Manifest(Config(**tiny.CONFIG), tiny.SPEC, "")):
        assert (folder / "config.json").exists()


def test_folder_of_other_files_is_refused(tmp_path, quiet):
    (tmp_path / "thesis.tex").touch()
    for out in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(InputError, match="is not a run folder; choose an empty or a new one"):
            fit(Config(**tiny.CONFIG), out, quiet)


def test_folder_that_cannot_be_written_is_reported(tmp_path, quiet):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write the run folder"):
        fit(Config(**tiny.CONFIG), tmp_path / "file" / "run", quiet)


@pytest.mark.parametrize(
    "number, reason",
    [
        (errno.ENOSPC, "No space left on device; free space"),
        (errno.EROFS, "Read-only file system; make it writable"),
        (errno.ENOENT, "No such file or directory; restore what was removed"),
        (errno.EIO, "Input/output error; fix that"),
    ],
)
def test_folder_that_fails_while_it_is_written_is_reported_in_one_line(tmp_path, quiet, monkeypatch, number, reason):
    def fail(*a, **k):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("jaxattn.runs.fit.write_metrics", fail)
    with pytest.raises(InputError, match=f"{reason}, then resume$") as caught:
        fit(Config(**tiny.CONFIG), tmp_path / "run", quiet)
    assert (caught.value.setting, caught.value.value) == ("resume", tmp_path / "run")


def test_run_killed_before_its_folder_was_made_starts_anew(tmp_path, quiet):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json.part").write_text("{")
    assert fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet).result["epochs"] == 1


def test_files_in_the_checkpoint_folder_that_are_no_checkpoints_are_left_alone(tmp_path, quiet):
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet)
    folder = tmp_path / "run" / "checkpoints"
    (folder / ".DS_Store").write_bytes(b"Finder")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "note.txt").touch()
    (folder / "7").touch()  # a file, not a checkpoint
    assert resume(tmp_path / "run", epochs=2, console=quiet).result["epochs"] == 2
    assert (folder / ".DS_Store").read_bytes() == b"Finder" and (folder / ".ipynb_checkpoints" / "note.txt").exists()
    assert load_run(tmp_path / "run", "last").epoch == checkpoint.epochs(folder)[-1] == 2


# resuming


@pytest.mark.parametrize("name", ["half a \ud800", "a\0b"])
def test_what_could_not_be_read_back_is_refused_before_training(tmp_path, quiet, monkeypatch, name):
    spec = dataclasses.replace(tiny.SPEC, classes=(name, *tiny.SPEC.classes[1:]))
    monkeypatch.setitem(DATASETS, "tiny", tiny.dataset(spec=spec))
    with pytest.raises(InputError, match=r"config\.json of this run could not be read back: "):
        fit(Config(**tiny.CONFIG), tmp_path / "run", quiet)
    assert not (tmp_path / "run").exists()


def test_run_resumed_with_more_epochs_equals_one_started_with_them(tmp_path, quiet):
    fit(Config(**tiny.CONFIG), tmp_path / "grown", quiet)
    grown = resume(tmp_path / "grown", epochs=3, console=quiet)
    whole = fit(Config(**tiny.CONFIG | {"epochs": 3}), tmp_path / "whole", quiet)
    chex.assert_trees_all_equal(grown.variables, whole.variables)
    assert grown.result["epochs"] == 3
    with pytest.raises(InputError, match="epochs cannot be reduced"):
        resume(tmp_path / "grown", epochs=1, console=quiet)


def test_resuming_on_other_images_is_refused(tmp_path, quiet, monkeypatch):
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet)
    monkeypatch.setitem(DATASETS, "tiny", tiny.dataset(seed=1))
    with pytest.raises(InputError, match="on other images"):
        resume(tmp_path / "run", console=quiet)


def test_a_run_that_goes_on_elsewhere_says_so_and_keeps_both_environments(tmp_path, capsys, monkeypatch):
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", Console(quiet=True))
    here = environment.environment()
    elsewhere = here | {"host": "a desk", "versions": here["versions"] | {"jax": "0.99"}}
    monkeypatch.setattr("jaxattn.runs.start.environment", lambda: elsewhere)
    done = resume(tmp_path / "run", epochs=2)
    note = f"from epoch 2 on: jax 0.99 instead of {jax.__version__}, host a desk instead of {here['host']}"
    assert f"{note}; so results are reproducible only up to rounding" in capsys.readouterr().out
    assert done.result["notes"] == list(done.notes) == list(load_run(tmp_path / "run").notes) == [note]
    starts = read_manifest(tmp_path / "run").starts
    assert [(start.epoch, start.environment) for start in starts] == [(0, here), (1, elsewhere)]
    fit(done.config, tmp_path / "run", Console(quiet=True))  # nothing is left to train, so nothing is recorded
    assert read_manifest(tmp_path / "run").starts == starts


def test_a_configuration_of_an_earlier_format_is_read_whole_or_refused(tmp_path, quiet):
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet)
    path = tmp_path / "run" / "config.json"
    values = json.loads(path.read_text())
    newer = ("format", "starts", "data", "acts_on", *NEWER)
    second = {"format": 2} | {name: value for name, value in values.items() if name not in newer}
    second |= {"classes": values["data"]["classes"], "image_shape": [32, 32, 3]}
    first = {name: value for name, value in second.items() if name != "format"}
    path.write_text(json.dumps(second))
    old = load_run(tmp_path / "run").spec
    assert (old.mean, old.std, old.train) == (tiny.SPEC.mean, tiny.SPEC.std, None)
    path.write_text(json.dumps(first))
    assert load_run(tmp_path / "run").notes == ()
    grown = resume(tmp_path / "run", epochs=2, console=quiet)
    assert grown.notes == ("versions and machine of epochs 1 to 1 were not recorded",)
    for damaged, message in (
        (
            {k: v for k, v in first.items() if k != "muon_decay"},
            "configuration lacks muon_decay; it was written by",
        ),
        (values | {"format": 5}, "it is of format 5, and this version of jaxattn reads formats up to 4"),
        (values | {"starts": [{}]}, "is damaged"),
        (values | {"data": values["data"] | {"mean": [0.5]}}, "is damaged: .*mean and std must have 3 numbers"),
        (values | {"data": values["data"] | {"train": "many"}}, "is damaged"),
        (values | {"starts": [values["starts"][0] | {"epoch": "1"}]}, "is damaged"),
    ):
        path.write_text(json.dumps(damaged))
        with pytest.raises(InputError, match=message):
            load_run(tmp_path / "run")


def test_ctrl_c_says_what_is_kept_and_the_run_resumes(tmp_path, quiet, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after_the_first_epoch(patch)
        with pytest.raises(Interrupted, match="stopped; 1 complete epochs are kept in") as caught:
            fit(Config(**tiny.CONFIG), tmp_path / "run", quiet)
    assert (caught.value.folder, caught.value.epochs) == (tmp_path / "run", 1)
    assert resume(tmp_path / "run", console=quiet).result["epochs"] == 2


def test_result_of_a_shorter_run_is_not_that_of_the_longer(tmp_path, quiet, monkeypatch):
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet)
    with monkeypatch.context() as patch:
        patch.setattr("jaxattn.runs.fit.final_result", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):  # the last epoch is kept, its test was not reached
            resume(tmp_path / "run", epochs=2, console=quiet)
    assert load_run(tmp_path / "run").result is None
    assert resume(tmp_path / "run", console=quiet).result["epochs"] == 2


def test_run_of_another_optimiser_can_be_loaded_but_not_resumed(tmp_path, quiet):
    done = fit(Config(**tiny.CONFIG), tmp_path / "run", quiet)
    folder = tmp_path / "run" / "checkpoints"
    state = checkpoint.restore(folder, 2, program.template(program.build(done.config, tiny.SPEC, 1)))
    moments = optax.adam(0.1).init(state.params)  # a tree each, not a vector
    checkpoint.save(folder, 2, state.replace(opt_state=moments), {2})
    loaded = load_run(tmp_path / "run", "last")
    chex.assert_trees_all_equal(loaded.variables, done.variables)
    with pytest.raises(InputError, match=r"of another network or version: .*opt_state"):
        resume(tmp_path / "run", epochs=3, console=quiet)


# training that goes wrong


def test_loss_that_stops_being_finite_is_reported_and_the_last_checkpoint_kept(tmp_path, quiet, monkeypatch):
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet)
    monkeypatch.setattr(loop, "evaluate", lambda *a: (float("nan"), 0.1, None))
    with pytest.raises(InputError, match=r"stopped being finite in epoch 2, step 48 .* epoch 1 is kept"):
        resume(tmp_path / "run", epochs=2, console=quiet)
    assert checkpoint.epochs(tmp_path / "run" / "checkpoints") == [1]


def test_diverging_training_is_reported(tmp_path, quiet):
    with pytest.raises(InputError, match=r"stopped being finite in epoch 1.*a lower learning_rate than 1"):
        fit(Config(**tiny.CONFIG | {"learning_rate": 1e6}), tmp_path / "run", quiet)


def test_notes_are_of_the_starts_whose_epochs_are_left():
    def start(epoch, jax_version):
        there = environment.environment()
        return Start(epoch, "", there | {"versions": there["versions"] | {"jax": jax_version}}, {})

    starts = start(0, "1"), start(3, "2"), start(3, "3"), start(5, "4")
    manifest = Manifest(Config(), tiny.SPEC, "", starts)
    assert manifest.notes() == ["from epoch 4 on: jax 3 instead of 1", "from epoch 6 on: jax 4 instead of 3"]
    back = dataclasses.replace(manifest, starts=(*starts, start(2, "5")))  # later checkpoints were damaged
    assert back.notes() == ["from epoch 3 on: jax 5 instead of 1"]
