"""A run from its configuration to its folder, in this process."""

import dataclasses
import json
import weakref

import jax
import numpy as np
import optax
import pytest
import tiny

import jaxattn
from jaxattn import ATTENTION, CNN, Config, checkpoint, fit, load_run, program, resume, run
from jaxattn.data import DATASETS
from jaxattn.errors import InputError, UnavailableError
from jaxattn.folder import Header, claim
from jaxattn.lock import alone_in
from jaxattn.screen import Screen

QUICK = {
    "dataset": "tiny",
    "epochs": 2,
    "batch_size": 6,
    "augment": "none",
    "schedule": "plateau",
    "learning_rate": 1e-3,
    "warmup_epochs": 0.0,
}


@pytest.fixture(autouse=True)
def tiny_data(monkeypatch):
    monkeypatch.setitem(DATASETS, "tiny", lambda data_dir: tiny.splits())


@pytest.fixture
def quiet():
    return Screen(quiet=True)


def test_run_folder_holds_what_is_promised(tmp_path, quiet):
    done = fit(Config(attention="se", **QUICK), tmp_path / "run", quiet)
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
        assert 0 <= line["val_accuracy"] <= 1 and line["train_loss"] > 0 and line["learning_rate"] == 1e-3
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert {
        "test_loss", "test_accuracy", "best_epoch", "dataset", "dataset_hash", "attention", "seed", "parameters",
        "seconds", "versions", "device",
    } < result.keys()  # fmt: skip
    assert result["versions"].keys() == {"jax", "flax", "optax", "python"}
    assert result["parameters"] == 1_150_602 and result["dataset_hash"] == tiny.splits().digest()
    assert done.result == result and done.metrics == lines
    assert checkpoint.epochs(tmp_path / "run" / "checkpoints")[-1] == 2


def test_result_is_the_tested_epochs_accuracy_on_the_test_set(tmp_path, quiet):
    done = fit(Config(**QUICK), tmp_path / "run", quiet)
    splits = tiny.splits()
    built = run.build(done.config, 10, (32, 32, 3), 1)
    loss, accuracy, logits = run.evaluate(built, done.variables, splits.test)
    assert (loss, accuracy) == (done.result["test_loss"], done.result["test_accuracy"])
    assert accuracy == np.mean(logits.argmax(-1) == splits.test.labels)
    assert done.epoch == done.result["tested_epoch"] == done.result["best_epoch"]


def test_best_epoch_is_the_most_accurate_then_the_least_loss_then_the_first():
    def lines(*pairs):
        return [{"epoch": i, "val_accuracy": a, "val_loss": loss} for i, (a, loss) in enumerate(pairs, 1)]

    assert run.best_epoch(lines((0.5, 1.0), (0.7, 2.0), (0.6, 0.5))) == 2
    assert run.best_epoch(lines((0.7, 1.0), (0.7, 0.9), (0.7, 0.9))) == 2


def test_validation_steers_and_test_is_not_seen_in_the_standard_recipe():
    splits = tiny.splits()
    train, val = run.divide(Config(**QUICK), splits)
    assert (len(train), len(val)) == (144, 16)
    held = {image.tobytes() for image in val.images}
    assert held.isdisjoint({image.tobytes() for image in train.images})
    assert held < {image.tobytes() for image in splits.train.images}


def test_original_recipe_trains_on_everything_and_the_test_set_steers(tmp_path, quiet, monkeypatch):
    config = Config(recipe="original", **QUICK)
    train, val = run.divide(config, tiny.splits())
    assert len(train) == 160
    np.testing.assert_array_equal(val.images, tiny.splits().test.images)
    traced, modes = [], []
    make, epoch = run.training.make_train_step, run._train_epoch
    monkeypatch.setattr(run.training, "make_train_step", lambda *a: lambda *b: (traced.append(a[-1]), make(*a)(*b))[1])
    monkeypatch.setattr(run, "_train_epoch", lambda *a: (modes.append(a[1]), epoch(*a))[1])
    done = fit(dataclasses.replace(config, epochs=3), tmp_path / "run", quiet)
    assert modes == [True, False, False] and traced == [True, False]  # the first epoch alone is in training mode
    assert done.result["steered_by"] == "test" and done.result["tested_epoch"] == 3
    assert done.result["test_loss"] == pytest.approx(done.metrics[-1]["val_loss"], rel=1e-6)


def test_same_seed_same_bytes_other_seed_others(tmp_path, quiet):
    config = Config(**QUICK | {"batch_size": 8})  # enough for minimal filtering in the second block
    runs = [fit(dataclasses.replace(config, seed=seed), tmp_path / str(i), quiet) for i, seed in enumerate((1, 1, 2))]
    leaves = [b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(done.variables)) for done in runs]
    assert leaves[0] == leaves[1] != leaves[2]


def test_folder_of_another_configuration_is_refused_and_left_alone(tmp_path, quiet):
    fit(Config(**QUICK), tmp_path / "run", quiet)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="holds a run with attention none, not se; name another folder with --out"):
        fit(Config(attention="se", **QUICK), tmp_path / "run", quiet)
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_folder_that_another_process_trains_in_is_refused_and_left_alone(tmp_path, quiet):
    pytest.importorskip("fcntl")
    folder = tmp_path / "run"
    folder.mkdir()
    with alone_in(folder):
        with pytest.raises(InputError, match=r"another process is training in .*run; wait for it or stop it, or name"):
            fit(Config(**QUICK), folder, quiet)
        assert not list(folder.iterdir())
    with claim(folder, Header(Config(**QUICK), ("cat",), (32, 32, 3), "")):
        assert (folder / "config.json").exists()


def test_folder_of_other_files_is_refused(tmp_path, quiet):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="is not the folder of a run"):
        fit(Config(**QUICK), tmp_path, quiet)
    with pytest.raises(InputError, match="is not the folder of a run"):
        fit(Config(**QUICK), tmp_path / "thesis.tex", quiet)


def test_run_goes_on_with_more_epochs_as_if_it_had_been_asked_for_them(tmp_path, quiet):
    fit(Config(**QUICK), tmp_path / "grown", quiet)
    grown = resume(tmp_path / "grown", epochs=3, screen=quiet)
    whole = fit(Config(**QUICK | {"epochs": 3}), tmp_path / "whole", quiet)
    jax.tree.map(np.testing.assert_array_equal, grown.variables, whole.variables)
    assert grown.result["epochs"] == 3
    with pytest.raises(InputError, match="epochs may only grow"):
        resume(tmp_path / "grown", epochs=1, screen=quiet)


def test_resume_on_other_pictures_is_refused(tmp_path, quiet, monkeypatch):
    fit(Config(**QUICK), tmp_path / "run", quiet)
    monkeypatch.setitem(DATASETS, "tiny", lambda data_dir: tiny.splits(seed=1))
    with pytest.raises(InputError, match="on other pictures"):
        resume(tmp_path / "run", screen=quiet)


def test_without_cifar10_shapes_are_trained_on_after_a_warning(tmp_path, capsys, monkeypatch):
    def nowhere(data_dir):
        raise UnavailableError("no CIFAR-10 anywhere")

    monkeypatch.setitem(DATASETS, "cifar10", nowhere)
    monkeypatch.setitem(DATASETS, "shapes", lambda data_dir: tiny.splits())
    done = fit(Config(**QUICK | {"dataset": None, "epochs": 1}), tmp_path / "run")
    assert done.config.dataset == done.result["dataset"] == "shapes"
    printed = capsys.readouterr().out
    assert "WARNING" in printed and "no CIFAR-10 anywhere" in printed
    with pytest.raises(UnavailableError):
        fit(Config(**QUICK | {"dataset": "cifar10"}), tmp_path / "other")


def test_damaged_cifar10_is_told_and_never_replaced_by_shapes(tmp_path, quiet):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(InputError, match=r"cifar-10-binary\.tar\.gz must be a folder or archive"):
        fit(Config(**QUICK | {"dataset": None, "data_dir": str(tmp_path)}), tmp_path / "run", quiet)


def test_loss_that_stops_being_finite_is_told_and_the_last_checkpoint_kept(tmp_path, quiet, monkeypatch):
    fit(Config(**QUICK | {"epochs": 1}), tmp_path / "run", quiet)
    monkeypatch.setattr(run, "evaluate", lambda *a: (float("nan"), 0.1, None))
    with pytest.raises(InputError, match=r"stopped being finite in epoch 2, step 48 .* epoch 1 is kept"):
        resume(tmp_path / "run", epochs=2, screen=quiet)
    assert checkpoint.epochs(tmp_path / "run" / "checkpoints") == [1]


def test_diverging_training_is_told(tmp_path, quiet):
    with pytest.raises(InputError, match=r"stopped being finite in epoch 1.*a lower learning_rate than 1e"):
        fit(Config(**QUICK | {"learning_rate": 1e30}), tmp_path / "run", quiet)


def test_full_disk_is_told_in_one_line(tmp_path, quiet, monkeypatch):
    def full(*a, **k):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run, "write_metrics", full)
    with pytest.raises(InputError, match="No space left on device; free space, then go on with"):
        fit(Config(**QUICK), tmp_path / "run", quiet)


def test_folder_that_cannot_be_written_is_told(tmp_path, quiet):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write the run folder"):
        fit(Config(**QUICK), tmp_path / "file" / "run", quiet)


def test_checkpoint_cut_short_is_told(tmp_path, quiet):
    fit(Config(**QUICK | {"epochs": 1}), tmp_path / "run", quiet)
    for path in (tmp_path / "run" / "checkpoints" / "1").rglob("d/*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="is damaged, or of another network or version") as caught:
        load_run(tmp_path / "run")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "{}", '{"classes": [], "image_shape": [], "dataset_hash": "", "x": 1}']
)
def test_damaged_configuration_is_told(tmp_path, damage):
    with pytest.raises(InputError, match="holds no run"):
        load_run(tmp_path)
    (tmp_path / "config.json").write_text(damage)
    with pytest.raises(InputError, match=r"config\.json is damaged|unknown configuration keys"):
        load_run(tmp_path)


def test_damaged_result_is_told_and_written_anew_on_resume(tmp_path, quiet):
    result = fit(Config(**QUICK | {"epochs": 1}), tmp_path / "run", quiet).result
    (tmp_path / "run" / "result.json").write_text('{"test_acc')
    with pytest.raises(InputError, match=r"result\.json is damaged"):
        load_run(tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    assert resume(tmp_path / "run", screen=quiet).result == result


def test_result_of_a_shorter_run_does_not_stand_for_the_longer(tmp_path, quiet, monkeypatch):
    fit(Config(**QUICK | {"epochs": 1}), tmp_path / "run", quiet)
    with monkeypatch.context() as patch:
        patch.setattr(run, "_test", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):  # the last epoch is kept, its test was not reached
            resume(tmp_path / "run", epochs=2, screen=quiet)
    assert load_run(tmp_path / "run").result is None
    assert resume(tmp_path / "run", screen=quiet).result["epochs"] == 2


def test_run_of_another_optimiser_can_be_looked_at_but_not_gone_on_with(tmp_path, quiet):
    done = fit(Config(**QUICK), tmp_path / "run", quiet)
    folder = tmp_path / "run" / "checkpoints"
    state = checkpoint.restore(folder, 2, run._template(run.build(done.config, 10, (32, 32, 3), 1)))
    moments = optax.adam(0.1).init(state.params)  # a tree each, not a vector
    checkpoint.save(folder, 2, state.replace(opt_state=moments), {2})
    back = load_run(tmp_path / "run", "last")
    jax.tree.map(np.testing.assert_array_equal, back.variables, done.variables)
    with pytest.raises(InputError, match=r"of another network or version: .*opt_state"):
        resume(tmp_path / "run", epochs=3, screen=quiet)


def test_run_whose_module_has_gained_a_parameter_is_told(tmp_path, quiet):
    done = fit(Config(**QUICK), tmp_path / "run", quiet)
    variables = {**done.variables, "params": {**done.variables["params"]}}
    del variables["params"]["head"]
    checkpoint.save(tmp_path / "run" / "checkpoints", 2, variables, {2})
    with pytest.raises(InputError, match=r"of another network or version: it lacks \['params'\]\['head'\]"):
        load_run(tmp_path / "run", "last")


def test_looking_at_a_living_run_takes_the_epoch_that_has_replaced_the_listed_one(tmp_path, quiet, monkeypatch):
    fit(Config(**QUICK | {"epochs": 1}), tmp_path / "run", quiet)
    folder, restore = tmp_path / "run" / "checkpoints", checkpoint.restore

    def late(where, epoch, like):
        monkeypatch.setattr(checkpoint, "restore", restore)
        (folder / "1").rename(folder / "2")  # the run has gone on meanwhile
        (tmp_path / "run" / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')
        return restore(where, epoch, like)

    monkeypatch.setattr(checkpoint, "restore", late)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "best_epoch", lambda metrics: metrics[-1]["epoch"])
        assert load_run(tmp_path / "run", "last").epoch == 2


def test_run_killed_before_its_folder_was_made_begins_anew(tmp_path, quiet):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json.part").write_text("{")
    assert fit(Config(**QUICK | {"epochs": 1}), tmp_path / "run", quiet).result["epochs"] == 1


def test_damaged_metrics_are_told(tmp_path, quiet):
    fit(Config(**QUICK), tmp_path / "run", quiet)
    (tmp_path / "run" / "metrics.jsonl").write_text('{"epoch": 1}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl is damaged: it must have a line for each of the 2 epochs"):
        load_run(tmp_path / "run")


def test_library_offers_what_the_readme_says(tmp_path, quiet):
    assert set(jaxattn.__all__) >= {"CNN", "ATTENTION", "Config", "fit", "load_run"}
    done = fit(Config(attention="se", **QUICK), tmp_path / "run", quiet)
    loaded = load_run(tmp_path / "run")
    images = run.training.normalize(run.training.to_float(tiny.splits().test.images[:3]))
    logits = CNN(attention=ATTENTION["se"]).apply(loaded.variables, images)
    np.testing.assert_array_equal(logits, loaded.model.apply(done.variables, images))
    assert load_run(tmp_path / "run", "last").epoch == 2
    with pytest.raises(InputError, match="unknown choice of weights 'first'; known are best, last, tested"):
        load_run(tmp_path / "run", "first")


def test_too_few_pictures_are_told():
    with pytest.raises(InputError, match="batch_size must be at most the 144 training pictures, got 145"):
        run.divide(Config(**QUICK | {"batch_size": 145}), tiny.splits())
    with pytest.raises(InputError, match="validation must hold out a picture"):
        run.divide(Config(**QUICK | {"validation": 0.001}), tiny.splits())


def test_cifar10_is_the_default_where_it_can_be_had(tmp_path, quiet, monkeypatch):
    monkeypatch.setitem(DATASETS, "cifar10", lambda data_dir: tiny.splits())
    assert fit(Config(**QUICK | {"dataset": None, "epochs": 1}), tmp_path / "run", quiet).config.dataset == "cifar10"


def test_training_holds_no_second_copy_of_the_pictures(tmp_path, quiet, monkeypatch):
    copies, held = [], []

    def divide(config, splits):
        train, val = parts(config, splits)
        copies.extend(map(weakref.ref, (splits, splits.train.images, train)))
        return train, val

    def watch(screen, *arguments):
        held.extend(copy() is not None for copy in copies)
        return bar(screen, *arguments)

    bar, parts = Screen.bar, run.divide
    monkeypatch.setattr(Screen, "bar", watch)
    monkeypatch.setattr(run, "divide", divide)
    fit(Config(**QUICK | {"epochs": 1}), tmp_path / "run", quiet)
    assert held == [False, False, False]


@pytest.mark.parametrize("steps", [5, 7])
def test_run_of_many_steps_a_call_ends_as_one_of_single_steps(tmp_path, quiet, monkeypatch, steps):
    # 24 steps: four calls and four steps, or three calls and three steps
    config = Config(**QUICK | {"augment": "full", "epochs": 1})
    single = fit(config, tmp_path / "single", quiet)
    monkeypatch.setattr(program, "steps_in_call", lambda platform, steps_per_epoch: steps)
    many = fit(config, tmp_path / "many", quiet)
    for one, other in zip(single.metrics, many.metrics, strict=True):
        for name in ("train_loss", "val_loss", "learning_rate"):
            assert one[name] == pytest.approx(other[name], rel=1e-3)  # rounding was seen to grow to 5e-5


@pytest.mark.parametrize(("steps", "count"), [(1, 1), (9, 9), (100, 100), (351, 70), (703, 78), (781, 71)])
def test_calls_leave_few_steps_over_on_accelerators_and_hold_one_on_a_cpu(steps, count):
    assert program.steps_in_call("tpu", steps) == count
    assert program.steps_in_call("cpu", steps) == 1
