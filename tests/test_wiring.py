"""Every setting acts: a changed field of the configuration changes what is trained or tested, or it is said why not."""

import contextlib
import dataclasses
import functools

import jax
import numpy as np
import pytest
import tiny

from jaxattn import Config, fit, networks, runtime
from jaxattn.data import DATASETS
from jaxattn.runs import checkpoint, compiled, weights
from jaxattn.runs.console import Console
from jaxattn.runs.data import divide, find, load_data
from jaxattn.runs.manifest import Manifest
from jaxattn.runs.observer import Observers
from jaxattn.runs.start import Job, start_state
from jaxattn.runs.store import read_metrics
from jaxattn.training import feed, loop, program

pytestmark = pytest.mark.usefixtures("small_network")

# A short run in which every ingredient of the recipes takes part: 2 epochs of 2 steps.
BASE = {
    "dataset": "tiny", "attention": "se", "epochs": 2, "batch_size": 72, "optimizer": "sgd", "learning_rate": 0.05,
    "norm_bias_rate": 2.0, "muon_rate": 0.02, "muon_decay": 0.1, "schedule": "linear", "warmup_epochs": 0.5,
    "weight_decay": 0.01, "label_smoothing": 0.1, "ema": 0.5, "dropout": 0.2, "first_conv": "pytorch",
    "later_convs": "pytorch", "augment": "basic", "crop_padding": 2, "flips": "random", "monitor": "validation",
    "train_mode": "every-epoch", "keep": "last",
}  # fmt: skip
PLATEAU = {"schedule": "plateau", "warmup_epochs": 0.0, "epochs": 4, "plateau_patience": 0, "learning_rate": 0.5}
# Another value of each field, and what else the base needs for it to act.
TRAINS = {
    "network": ("own_network:Net", {}),
    "attention": ("eca", {}),
    "reduction": (2, {}),
    "attention_at": ("2", {}),
    "attention_position": ("after", {}),
    "attention_start": ("identity", {}),
    "seed": (1, {}),
    "init": ("a run", {}),
    "dataset": ("other", {}),
    "augment": ("none", {}),
    "crop_padding": (4, {}),
    "flips": ("alternating", {}),
    "cutout": (8, {}),
    "mixup": (1.0, {}),
    "validation": (0.2, {}),
    "epochs": (3, {}),
    "batch_size": (36, {}),
    "optimizer": ("adam", {}),
    "learning_rate": (0.1, {}),
    "momentum": (0.8, {}),
    "milestones": ("0.25", {"schedule": "steps"}),
    "milestone_factor": (0.5, {"schedule": "steps"}),
    "norm_bias_rate": (1.0, {}),
    "muon_rate": (0.0, {}),
    "muon_decay": (0.0, {}),
    "schedule": ("cosine", {}),
    "warmup_epochs": (1.0, {}),
    "plateau_factor": (0.1, PLATEAU),
    "plateau_patience": (3, PLATEAU),
    "weight_decay": (0.0, {}),
    "label_smoothing": (0.0, {}),
    "dropout": (0.0, {}),
    "first_conv": ("whitening", {}),
    "later_convs": ("dirac", {}),
    "monitor": ("test", {}),
    "train_mode": ("first-epoch", {}),
}
WIDTHS = {"attention_at": (4, 4), "later_convs": (4, 4)}  # of the fields that act in a second block
TESTS = {"ema": 0.0, "test_augmentation": "flips", "keep": "best"}
INERT = {
    "recipe": "it only sets the other fields",
    "data_dir": "where the data is does not change it",
    "image_size": "it is for a folder of images; test_folder reads one in several sizes",
    "skip_damaged": "it is for a folder of images; test_folder reads damaged ones",
    "precision": "a CPU computes in float32; test_accelerators reads the programs for GPU and TPU",
}


@contextlib.contextmanager
def parts_replaced(widths, evaluate):
    """A narrow network, programs that are not optimised (nearly every field takes its own), another evaluation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "create", functools.partial(networks.create, widths=widths, hidden=8))
        patch.setattr(program, "KEEP_BARRIERS", runtime.QUICK_COMPILE)
        patch.setattr(loop, "evaluate", worse_and_worse(evaluate))
        patch.setitem(DATASETS, "other", tiny.dataset(seed=1))
        yield patch


@pytest.fixture(scope="module")
def fitted(small_network, tmp_path_factory):
    """A function that calls `fit` once for each configuration: the run's folder, last parameters and result."""
    folders, shared = tmp_path_factory.mktemp("wiring"), compiled.cached_build()

    def build(config, *sizes):  # what no program knows is left out
        return shared(dataclasses.replace(config, recipe="standard", keep="last", test_augmentation="none"), *sizes)

    @functools.cache
    def run(config):
        folder = folders / str(len(list(folders.iterdir())))
        with parts_replaced((4,), loop.evaluate):
            done = fit(config, folder, Console(quiet=True), build)
        _, arrays = checkpoint.read(folder / "checkpoints", len(done.metrics))
        params = {name: array for name, array in arrays.items() if name.startswith("params/")}
        return folder, params, done.result | {"seconds": 0}

    return lambda **fields: run(Config(**fields))


@pytest.fixture(scope="module")
def trained(small_network, tmp_path_factory):
    """A function from fields to the parameters after the last step, by the parts of `fit` that compute them.

    No epoch is evaluated, timed or saved; the monitored loss rises.
    """
    nowhere, quiet = tmp_path_factory.mktemp("none"), Console(quiet=True)

    @functools.cache
    def run(config, widths):
        with parts_replaced(widths, lambda *arguments: (0.0, 0.0, None)) as patch:
            patch.setattr(loop, "_batch_seconds", lambda *arguments: 1e-3)
            config, splits = load_data(config, find(config), quiet)
            train, monitored = divide(config, splits)
            built = program.build(config, splits.spec, len(train) // config.batch_size)
            manifest = Manifest(config, splits.spec, splits.digest())
            initial, watch = weights.find(manifest, nowhere), Observers((), quiet)
            job = Job(nowhere, manifest, built, quiet, initial, train.images, watch, (), [])
            data = feed.to_device(train)
            state, _ = start_state(job, lambda: None)
            for epoch in loop.train(built, config, state, data, monitored, 0, lambda *progress: None):
                state, _ = epoch
        return checkpoint.named(jax.device_get(state.params))

    return lambda widths=(4,), **fields: run(Config(**fields), widths)


def worse_and_worse(evaluate):
    """Of the monitored split, so that the first epoch is the best."""

    def measured(step, variables, split, *fill):
        loss, _, logits = evaluate(step, variables, split, *fill)
        measured.calls += 1
        return loss + measured.calls, 1 / measured.calls, logits

    measured.calls = 0
    return measured


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_every_field_is_said_to_act_or_why_not():
    assert {*TRAINS, *TESTS, *INERT} == {field.name for field in dataclasses.fields(Config)}


@pytest.mark.parametrize("field", TRAINS)
def test_a_field_of_training_changes_what_is_trained(trained, fitted, field):
    value, needed = TRAINS[field]
    base = {"dataset": "tiny", **BASE, **needed}
    assert base.get(field, Config.__dataclass_fields__[field].default) != value
    if field == "init":
        value = str(fitted(**BASE)[0])
    widths = WIDTHS.get(field, (4,))
    assert not same(trained(widths, **base), trained(widths, **base | {field: value}))


def test_fit_trains_what_its_parts_give(trained, fitted):
    _, params, _ = fitted(**BASE)
    assert same({f"params/{name}": array for name, array in trained(**BASE).items()}, params)


@pytest.mark.parametrize("field", TESTS)
def test_a_field_of_testing_changes_the_result_and_not_what_is_trained(fitted, field):
    (_, params, result), (_, others, changed) = fitted(**BASE), fitted(**BASE | {field: TESTS[field]})
    assert same(params, others) and result | {"notes": 0} != changed | {"notes": 0}


def test_a_recipe_changes_nothing_but_the_fields_that_it_sets(fitted):
    (_, params, result), (_, others, other) = fitted(**BASE), fitted(**BASE, recipe="original")
    assert same(params, others)
    assert {k for k in result if result[k] != other[k]} == {"recipe"}


@pytest.mark.parametrize(("flips", "mirrored"), [("alternating", True), ("random", False)])
def test_flips_alternate_between_epochs_where_the_configuration_says_so(flips, mirrored):
    config, images = Config(**BASE | {"flips": flips, "crop_padding": 0}), tiny.splits().train.images
    batch, key, rows = program.build(config, tiny.SPEC, 2).batch, jax.random.key(0), np.arange(72)
    first, same_epoch, next_epoch = (np.asarray(batch(key, step, images, rows)) for step in (0, 1, 2))
    assert np.array_equal(first, same_epoch)
    assert np.array_equal(first[:, :, ::-1], next_epoch) == mirrored


@pytest.mark.parametrize(("when", "epochs"), [("every-epoch", [1, 2, 3]), ("first-epoch", [1])])
def test_the_statistics_follow_the_epochs_that_the_configuration_names(trained, monkeypatch, when, epochs):
    modes, epoch = [], loop._epoch
    monkeypatch.setattr(loop, "_epoch", lambda program, mode, *rest: modes.append(mode) or epoch(program, mode, *rest))
    trained(**BASE | {"train_mode": when, "epochs": 3, "seed": 5})
    assert [number for number, mode in enumerate(modes, 1) if mode] == epochs and len(modes) == 3


def test_the_best_epoch_and_the_last_two_are_kept_and_no_other(tmp_path, quiet, monkeypatch):
    monkeypatch.setattr(loop, "evaluate", worse_and_worse(loop.evaluate))
    done = fit(Config(**tiny.CONFIG | {"epochs": 5}), tmp_path / "run", quiet)
    assert checkpoint.epochs(tmp_path / "run" / "checkpoints") == [1, 4, 5]
    assert done.result["tested_epoch"] == done.result["best_epoch"] == done.epoch == 1
    assert [line["val_accuracy"] for line in read_metrics(tmp_path / "run", 5)] == [1 / i for i in range(1, 6)]


def test_dropout_and_augmentation_draw_anew_in_each_step():
    """With a learning rate of nearly zero, the loss of one batch differs from step to step by what was drawn alone."""
    config = Config(**BASE | {"learning_rate": 1e-30, "muon_rate": 0.0, "schedule": "constant", "augment": "none"})
    splits = tiny.splits()
    with parts_replaced((4,), None):
        for fields, differ in (({"dropout": 0.5}, True), ({"dropout": 0.0}, False), ({"augment": "basic"}, True)):
            changed = dataclasses.replace(config, **{"dropout": 0.0} | fields)
            built = program.build(changed, tiny.SPEC, 2)
            weights_key, key = loop.keys(changed)
            state, losses = built.init(weights_key), []
            for _ in range(3):
                state, sums = built.step[True](state, key, splits.train.images, splits.train.labels, np.arange(72))
                losses.append(float(sums.loss))
            assert (len(set(losses)) == 3) == differ, (fields, losses)
