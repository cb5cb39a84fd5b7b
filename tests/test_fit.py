"""Training into a run folder, in this process: what it writes, what it refuses, and how it resumes."""

import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import jaxattn
from jaxattn import ATTENTION, CNN, Config, fit, load_run, networks, resume, runtime
from jaxattn.data.augment import to_input
from jaxattn.data.splits import Split
from jaxattn.errors import InputError, Interrupted
from jaxattn.runs import checkpoint, data
from jaxattn.training import initial, loop, program
from jaxattn.training.evaluation import evaluate

pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture
def tutorials_network(monkeypatch):
    monkeypatch.setattr(program, "create", networks.create)
    monkeypatch.setattr(program, "KEEP_BARRIERS", runtime.KEEP_BARRIERS)


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


def test_the_average_is_monitored_as_it_is_tested(tmp_path, quiet):
    done = fit(Config(**tiny.CONFIG | {"ema": 0.9, "monitor": "test", "keep": "last"}), tmp_path / "run", quiet)
    assert done.metrics[-1]["val_loss"] == pytest.approx(done.result["test_loss"], rel=1e-5)


def test_each_epoch_has_an_order_of_its_own(tmp_path, quiet, monkeypatch):
    drawn = []
    rows = loop.epoch_rows
    monkeypatch.setattr(
        loop, "epoch_rows", lambda seed, epoch, *rest: drawn.append((seed, epoch)) or rows(seed, epoch, *rest)
    )
    fit(Config(**tiny.CONFIG | {"seed": 3}), tmp_path / "run", quiet)
    assert drawn == [(3, 1), (3, 2)]


def test_the_rate_is_that_of_the_last_step_and_training_images_are_counted(tmp_path, quiet):
    flags = {"schedule": "linear", "monitor": "test", "keep": "last", "batch_size": 20}  # 8 steps an epoch
    done = fit(Config(**tiny.CONFIG | flags), tmp_path / "run", quiet)
    assert [line["learning_rate"] for line in done.metrics] == pytest.approx([1e-3 * 9 / 16, 1e-3 / 16])
    held_out = fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "held", quiet)
    assert sum(held_out.result["train_images_by_class"]) == 144


@pytest.mark.parametrize(("seconds", "shares"), [((2, 6, 8), (0.25, 0.5, 0.25)), ((9, 6, 8), (0.75, 0, 0.25))])
def test_the_shares_of_an_epoch_by_hand(seconds, shares):
    assert tuple(loop._shares(*seconds).values()) == shares


def test_a_run_that_diverges_in_its_first_epoch_kept_nothing():
    assert "; nothing was kept; a new run" in str(loop._diverged(Config(), 1, 5, {"train loss": float("nan")}))
    assert "; the checkpoint of epoch 1 is kept; a new" in str(loop._diverged(Config(), 2, 5, {}))


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


def test_initial_kernels_are_whitening_and_dirac_where_the_recipe_says_so(tmp_path, quiet, monkeypatch):
    started = []

    def stop(program, config, state, *rest):
        started.append(state)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", stop)
    with pytest.raises(Interrupted):
        fit(Config(**tiny.RECIPE), tmp_path / "run", quiet)
    train, _ = data.divide(Config(**tiny.RECIPE), tiny.splits())
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


def test_loss_that_stops_being_finite_is_reported_and_the_last_checkpoint_kept(tmp_path, quiet, monkeypatch):
    fit(Config(**tiny.CONFIG | {"epochs": 1}), tmp_path / "run", quiet)
    monkeypatch.setattr(loop, "evaluate", lambda *a: (float("nan"), 0.1, None))
    with pytest.raises(InputError, match=r"stopped being finite in epoch 2, step 48 .* epoch 1 is kept"):
        resume(tmp_path / "run", epochs=2, console=quiet)
    assert checkpoint.epochs(tmp_path / "run" / "checkpoints") == [1]


def test_diverging_training_is_reported(tmp_path, quiet):
    with pytest.raises(InputError, match=r"stopped being finite in epoch 1.*a lower learning_rate than 1"):
        fit(Config(**tiny.CONFIG | {"learning_rate": 1e6}), tmp_path / "run", quiet)
