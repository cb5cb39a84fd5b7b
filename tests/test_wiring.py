"""Every setting acts: a changed field of the configuration changes what is trained or tested, or it is said why not."""

import dataclasses
import functools

import numpy as np
import pytest
import tiny

from jaxattn import Config, fit, networks, runtime
from jaxattn.data import DATASETS
from jaxattn.runs import checkpoint
from jaxattn.runs.console import Console
from jaxattn.runs.store import read_metrics
from jaxattn.training import loop, program

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
    "attention": ("eca", {}),
    "reduction": (2, {}),
    "attention_at": ("2", {}),
    "attention_position": ("after", {}),
    "seed": (1, {}),
    "init": ("a run", {}),
    "dataset": ("other", {}),
    "augment": ("none", {}),
    "crop_padding": (4, {}),
    "flips": ("alternating", {}),
    "validation": (0.2, {}),
    "epochs": (3, {}),
    "batch_size": (36, {}),
    "optimizer": ("adam", {}),
    "learning_rate": (0.1, {}),
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
TESTS = {"ema": (0.0, {}), "test_augmentation": ("flips", {}), "keep": ("best", {})}
INERT = {
    "recipe": "it only sets the other fields",
    "data_dir": "where the data is does not change it",
    "precision": "a CPU computes in float32; test_accelerators reads the programs for GPU and TPU",
}


@pytest.fixture(scope="module")
def train(small_network, tmp_path_factory):
    """A function that trains once for each configuration: parameters after the last step, and the result."""
    folders, trained = tmp_path_factory.mktemp("wiring"), {}
    with pytest.MonkeyPatch.context() as patch:
        # Two blocks and no optimisation: each field takes a program of its own.
        patch.setattr(program, "create", functools.partial(networks.create, widths=(4, 4), hidden=8))
        patch.setattr(program, "KEEP_BARRIERS", runtime.QUICK_COMPILE)
        patch.setitem(DATASETS, "other", tiny.dataset(seed=1))
        patch.setattr(loop, "evaluate", worse_and_worse(loop.evaluate))

        def run(**fields):
            if fields.get("init"):
                run(**BASE)
                fields["init"] = str(folders / "0")
            config = Config(**fields)
            if config not in trained:
                folder = folders / str(len(trained))
                done = fit(config, folder, Console(quiet=True))
                _, arrays = checkpoint.read(folder / "checkpoints", len(done.metrics))
                params = {name: array for name, array in arrays.items() if name.startswith("params/")}
                trained[config] = params, done.result | {"seconds": 0}
            return trained[config]

        yield run


def worse_and_worse(evaluate):
    """Of the monitored split, so that the first epoch is the best."""

    def measured(step, variables, split):
        loss, _, logits = evaluate(step, variables, split)
        measured.calls += 1
        return loss + measured.calls, 1 / measured.calls, logits

    measured.calls = 0
    return measured


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_every_field_is_said_to_act_or_why_not():
    assert {*TRAINS, *TESTS, *INERT} == {field.name for field in dataclasses.fields(Config)}


@pytest.mark.parametrize("field", TRAINS)
def test_a_field_of_training_changes_what_is_trained(train, field):
    value, needed = TRAINS[field]
    base = {"dataset": "tiny", **BASE, **needed}
    assert base.get(field, Config.__dataclass_fields__[field].default) != value
    (params, _), (changed, _) = train(**base), train(**base | {field: value})
    assert not same(params, changed)


@pytest.mark.parametrize("field", TESTS)
def test_a_field_of_testing_changes_the_result_and_not_what_is_trained(train, field):
    value, needed = TESTS[field]
    (params, result), (others, changed) = train(**BASE | needed), train(**BASE | needed | {field: value})
    assert same(params, others) and result | {"notes": 0} != changed | {"notes": 0}


def test_a_recipe_changes_nothing_but_the_fields_that_it_sets(train):
    (params, result), (others, other) = train(**BASE), train(**BASE, recipe="original")
    assert same(params, others)
    assert {k for k in result if result[k] != other[k]} == {"recipe"}


def test_the_best_epoch_and_the_last_two_are_kept_and_no_other(tmp_path, quiet, monkeypatch):
    monkeypatch.setattr(loop, "evaluate", worse_and_worse(loop.evaluate))
    done = fit(Config(**tiny.CONFIG | {"epochs": 5}), tmp_path / "run", quiet)
    assert checkpoint.epochs(tmp_path / "run" / "checkpoints") == [1, 4, 5]
    assert done.result["tested_epoch"] == done.result["best_epoch"] == done.epoch == 1
    assert [line["val_accuracy"] for line in read_metrics(tmp_path / "run", 5)] == [1 / i for i in range(1, 6)]


def test_dropout_and_augmentation_draw_anew_in_each_step(quiet):
    """With a learning rate of nearly zero, the loss of one batch differs from step to step by what was drawn alone."""
    config = Config(**BASE | {"learning_rate": 1e-30, "muon_rate": 0.0, "schedule": "constant", "augment": "none"})
    splits = tiny.splits()
    for fields, differ in (({"dropout": 0.5}, True), ({"dropout": 0.0}, False), ({"augment": "basic"}, True)):
        changed = dataclasses.replace(config, **{"dropout": 0.0} | fields)
        built = program.build(changed, tiny.SPEC, 2)
        weights, key = loop.keys(changed)
        state, losses = built.init(weights), []
        for _ in range(3):
            state, sums = built.step[True](state, key, splits.train.images, splits.train.labels, np.arange(72))
            losses.append(float(sums.loss))
        assert (len(set(losses)) == 3) == differ, (fields, losses)
