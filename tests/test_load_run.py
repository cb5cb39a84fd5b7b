"""A run folder read back: whichever epoch is asked for, and whatever is damaged or missing."""

import dataclasses
import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from jaxattn import Config, fit, load_run, resume
from jaxattn.comparison.results import finished_or_none
from jaxattn.data.augment import to_input
from jaxattn.errors import InputError
from jaxattn.explain.analysis import Analysis
from jaxattn.runs import checkpoint
from jaxattn.runs.console import Console
from jaxattn.runs.manifest import read_manifest
from jaxattn.runs.result import check_accuracy
from jaxattn.runs.run import best_epoch
from jaxattn.runs.store import RESULT
from jaxattn.training import program

SHAPE = (32, 32, 3)
pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture(scope="module")
def finished(small_network, tmp_path_factory):
    """The folder of a run of two epochs."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    fit(Config(**tiny.CONFIG), folder, Console(quiet=True))
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of it to damage, whose first epoch is the best and has its checkpoint, too."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    lines = [
        json.loads(line) | {"val_accuracy": 1.0, "val_loss": 0.0}
        for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]
    lines[1]["val_accuracy"] = 0.0
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def assert_reported(folder, match, which="tested"):
    with pytest.raises(InputError, match=match) as caught:
        load_run(folder, which)
    assert "\n" not in str(caught.value)
    return caught.value


# which epoch


def test_best_epoch_is_the_most_accurate_then_the_least_loss_then_the_first():
    def lines(*pairs):
        return [{"epoch": i, "val_accuracy": a, "val_loss": loss} for i, (a, loss) in enumerate(pairs, 1)]

    assert best_epoch(lines((0.5, 1.0), (0.7, 2.0), (0.6, 0.5))) == 2
    assert best_epoch(lines((0.7, 1.0), (0.7, 0.9), (0.7, 0.9))) == 2
    assert best_epoch(lines((0.5, 1.0), (0.7, 2.0), (0.6, 0.5)), among=[1, 3]) == 3


def test_where_the_best_checkpoint_was_deleted_the_best_that_is_left_is_loaded(folder):
    assert [load_run(folder, which).epoch for which in ("best", "last", "tested")] == [1, 2, 1]
    (folder / "checkpoints" / "epoch-1.safetensors").unlink()
    assert [load_run(folder, which).epoch for which in ("best", "last", "tested")] == [2, 2, 2]


def test_a_run_whose_best_checkpoint_was_deleted_resumes(folder, quiet):
    (folder / "checkpoints" / "epoch-1.safetensors").unlink()
    done = resume(folder, epochs=3, console=quiet)
    assert done.result["best_epoch"] == 1 and done.result["tested_epoch"] in (2, 3)


def test_a_folder_without_a_complete_epoch_is_reported(folder):
    shutil.rmtree(folder / "checkpoints")
    error = assert_reported(folder, "holds no complete epoch yet; resume it$")
    assert (error.setting, error.value) == ("resume", folder)


def test_an_epoch_that_a_running_process_has_just_replaced_is_looked_up_again(folder, monkeypatch):
    restore = checkpoint.restore

    def late(checkpoints, epoch, like, run):
        monkeypatch.setattr(checkpoint, "restore", restore)
        _, arrays = checkpoint.read(checkpoints, 2)
        checkpoint.save(checkpoints, 3, arrays, {3}, run)  # the run has gone on meanwhile
        lines = (folder / "metrics.jsonl").read_text()
        third = json.loads(lines.splitlines()[-1]) | {"epoch": 3}
        (folder / "metrics.jsonl").write_text(f"{lines}{json.dumps(third)}\n")
        return restore(checkpoints, epoch, like, run)

    monkeypatch.setattr(checkpoint, "restore", late)
    assert load_run(folder, "last").epoch == 3


# damage


def damage(path, position, change):
    """Changes one byte of a file, or all from it on: a cut."""
    data = bytearray(path.read_bytes())
    at = int(position * (len(data) - 1))
    if change is None:
        del data[at:]
    else:
        data[at] ^= change
    path.write_bytes(data)


@pytest.mark.parametrize("change", [1, 32, 128, None])
@pytest.mark.parametrize("position", [0, 0.0005, 0.002, 0.01, 0.02, 0.1, 0.5, 0.9, 1])
def test_a_checkpoint_is_refused_with_one_bit_changed_anywhere_or_cut_short(folder, position, change):
    damage(folder / "checkpoints" / "epoch-1.safetensors", position, change)
    assert_reported(folder, r"epoch-1\.safetensors is damaged: .*; delete it and resume from an earlier epoch")


def test_blocks_of_zeros_in_a_checkpoint_are_found(folder):
    path = folder / "checkpoints" / "epoch-1.safetensors"
    data = path.read_bytes()
    for start in range(0, len(data), len(data) // 25):
        zeroed = data[:start] + bytes(512) + data[start + 512 :]
        if zeroed[: len(data)] != data:
            path.write_bytes(zeroed[: len(data)])
            assert_reported(folder, "is damaged")


def test_where_the_last_checkpoint_is_damaged_a_run_resumes_from_the_epoch_before(folder, quiet, capsys):
    whole = resume(shutil.copytree(folder, folder.parent / "whole"), epochs=3, console=quiet)
    damage(folder / "checkpoints" / "epoch-2.safetensors", 0.5, 1)
    grown = resume(folder, epochs=3)
    said = capsys.readouterr().out
    assert "epoch-2.safetensors is damaged: its digest is not that of its contents; epoch 1 is used instead" in said
    chex.assert_trees_all_equal(load_run(grown.folder, "last").variables, load_run(whole.folder, "last").variables)


def test_where_every_checkpoint_is_damaged_resuming_is_refused(folder, quiet):
    for epoch in (1, 2):
        damage(folder / "checkpoints" / f"epoch-{epoch}.safetensors", 0.5, 1)
    with pytest.raises(InputError, match=r"epoch-1\.safetensors is damaged"):
        resume(folder, epochs=3, console=quiet)


def test_checkpoints_that_orbax_wrote_are_read_and_resumed(folder, quiet):
    import orbax.checkpoint as ocp

    whole = resume(shutil.copytree(folder, folder.parent / "whole"), epochs=3, console=quiet)
    checkpoints, like = folder / "checkpoints", program.template(program.build(load_run(folder).config, tiny.SPEC, 1))
    for epoch in (1, 2):
        state = checkpoint.restore(checkpoints, epoch, like)
        with ocp.StandardCheckpointer() as writer:
            writer.save(checkpoints.absolute() / str(epoch), jax.tree.map(jnp.asarray, state))
        (checkpoints / f"epoch-{epoch}.safetensors").unlink()
    assert checkpoint.epochs(checkpoints) == [1, 2]
    assert load_run(folder, "best").epoch == 1
    grown = resume(folder, epochs=3, console=quiet)
    chex.assert_trees_all_equal(load_run(grown.folder, "last").variables, load_run(whole.folder, "last").variables)
    assert sorted(path.name for path in checkpoints.iterdir()) == ["1", "2", "epoch-3.safetensors"]
    for path in (checkpoints / "1").rglob("d/*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert_reported(folder, "1 is damaged")


def test_checkpoint_that_lacks_a_parameter_of_the_network_is_reported(folder):
    variables = load_run(folder).variables
    params = {name: values for name, values in variables["params"].items() if name != "head"}
    collections = {"batch_stats": variables["batch_stats"]}
    checkpoint.save(folder / "checkpoints", 1, {"params": params, "collections": collections}, {1})
    assert_reported(folder, "of another network or version: params/head/.* must be .* and is missing; start a new run")


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "{}", '{"classes": [], "image_shape": [], "dataset_hash": "", "x": 1}']
)
def test_damaged_configuration_is_reported(tmp_path, damage):
    assert_reported(tmp_path, "holds no run")
    (tmp_path / "config.json").write_text(damage)
    assert_reported(tmp_path, r"config\.json is damaged|unknown configuration keys")


LINE = '{"epoch": 1, "train_loss": 1, "train_accuracy": 1, "val_loss": 1, "val_accuracy": 1, "learning_rate": 1}'


def test_a_value_in_the_configuration_that_is_not_known_is_named(folder, tmp_path):
    values = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"optimizer": "magic"}))
    with pytest.raises(InputError, match=r"config\.json: unknown optimizer 'magic'"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it must have a line for each of the 2 epochs"),
        (LINE.encode(), "it must have a line for each of the 2 epochs"),
        (f"{LINE}\n{LINE}\n".encode(), "it must have a line for each of the 2 epochs"),
        (f"{LINE}\nnonsense\n".encode(), "Expecting value"),
        (f"{LINE}\n[1, 2]\n".encode(), r"it must hold objects, found \[1, 2\]"),
        (f'{LINE}\n{{"epoch": 2}}\n'.encode(), "'train_loss' is missing"),
        (LINE.replace('"val_loss": 1', '"val_loss": "low"').encode(), "'val_loss' must be a number, 0 or more, found"),
        (b"\xff\xfe\n", "codec can't decode"),
        (LINE.replace('"train_loss": 1', '"train_loss": NaN').encode(), "numbers must be finite, found nan"),
        (LINE.replace('"train_loss": 1', '"train_loss": true').encode(), "'train_loss' must be a number, 0 or more"),
        (LINE.replace('"train_loss": 1', f'"train_loss": {10**400}').encode(), "integers must fit into 64 bits"),
        (
            LINE.replace('"val_accuracy": 1', '"val_accuracy": 2').encode(),
            "'val_accuracy' must be a fraction from 0 to 1",
        ),
        (LINE.replace('"epoch": 1', '"epoch": 1.0').encode(), "'epoch' must be a whole number above 0, found 1.0"),
        (b"[" * 100_000, "nested more than 50 deep"),
    ],
)
def test_damaged_metrics_are_reported(folder, content, message):
    (folder / "metrics.jsonl").write_bytes(content)
    assert_reported(folder, rf"metrics\.jsonl is damaged: .*{message}")


@pytest.mark.parametrize("epoch", [10**8, 10**17])
def test_a_name_that_says_many_epochs_takes_no_memory(folder, epoch):
    (folder / "checkpoints" / f"epoch-{epoch}.safetensors").touch()
    assert_reported(folder, f"it must have a line for each of the {epoch} epochs", "last")


def test_a_result_that_says_many_epochs_takes_no_memory(folder):
    tiny.edit_result(folder, epochs=9 * 10**18, tested_epoch=1)
    with pytest.raises(InputError, match="it must have a line for each of the 9000000000000000000 epochs"):
        finished_or_none(folder)


@pytest.mark.parametrize("content", ['{"test_acc', "[]", "1", '{"accuracy": 0.5}', "\ud800"])
def test_damaged_result_is_reported_and_written_anew_on_resume(folder, quiet, content):
    before = load_run(folder).result
    (folder / "result.json").write_bytes(content.encode(errors="surrogatepass"))
    error = assert_reported(
        folder, r"result\.json is damaged: .*; delete it and resume the run, which writes it again$"
    )
    assert (error.setting, error.value) == ("resume", folder)
    (folder / "result.json").unlink()
    after = resume(folder, console=quiet).result
    assert after.keys() == before.keys() and after["epochs"] == 2


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("test_accuracy", "high", "'test_accuracy' must be a number"),
        ("test_accuracy", 1.5, "'test_accuracy' must be a fraction from 0 to 1, found 1.5"),
        ("test_accuracy_with_flips_and_shifts", 2, "_and_shifts' must be a fraction from 0 to 1, found 2"),
        ("tested_epoch", "2", "'tested_epoch' must be a whole number above 0"),
        ("tested_epoch", 2, "tested_epoch must be one of 1, found 2"),
        ("test_loss", -1, "'test_loss' must be a number, 0 or more"),
        ("epochs", None, "'epochs' must be a whole number above 0"),
        ("dataset_hash", ["a"], "'dataset_hash' must be text"),
        ("versions", {"jax": 1}, "'versions' must be an object of texts"),
        ("device", "\ud800", "surrogates not allowed"),
    ],
)
def test_a_result_of_other_kinds_of_values_is_reported(folder, key, value, message):
    known = read_manifest(folder)
    result = dict.fromkeys(RESULT, 1) | {"dataset": "tiny", "dataset_hash": known.dataset_hash, "device": "x"}
    result |= {"test_accuracy": 0.5, "versions": {}, "monitored": None}
    (folder / "result.json").write_text(json.dumps(result))
    assert load_run(folder).result == result
    (folder / "result.json").write_text(json.dumps(result | {key: value}))
    assert_reported(folder, rf"result\.json is damaged: .*{message}")


@pytest.mark.parametrize("name", ["result.json", "checkpoints/epoch-2.safetensors"])
def test_a_file_of_another_run_is_refused_by_name(folder, others, name):
    shutil.copy(others / name, folder / name)
    what = {"result.json": "is of another run: its seed is 7, the run's 0; delete it"}
    assert_reported(folder, f"{name} {what.get(name, 'is damaged: it is of another run or epoch')}", "last")


@pytest.fixture(scope="module")
def others(small_network, tmp_path_factory):
    """The folder of a run of another seed."""
    config = Config(seed=7, **tiny.CONFIG)
    return fit(config, tmp_path_factory.mktemp("runs") / "other", Console(quiet=True)).folder


@pytest.mark.parametrize(
    "change",
    [
        {"attention_position": "after"},
        {"data": tiny.SPEC.to_json() | {"classes": [*"abcdefghij"]}},
        {"data": tiny.SPEC.to_json() | {"mean": [0.1, 0.9, 0.5]}},
        {"data": tiny.SPEC.to_json() | {"std": [1e-300, 1, 1]}},
        {"data": tiny.SPEC.to_json() | {"mean": [1e308, 1, 1]}},
        {"data": tiny.SPEC.to_json() | {"superclasses": [*"aabbccddee"]}},
        {"dropout": 0.5},
    ],
)
def test_a_configuration_that_was_changed_is_not_that_of_the_weights(folder, change):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | change))
    assert_reported(folder, "is damaged: it is of another run or epoch, or config.json was changed since")


def test_a_checkpoint_under_another_epochs_name_is_refused(folder):
    shutil.copy(folder / "checkpoints/epoch-1.safetensors", folder / "checkpoints/epoch-2.safetensors")
    assert_reported(folder, "epoch-2.safetensors is damaged: it is of another run or epoch", "last")


def test_a_test_accuracy_that_the_weights_do_not_have_is_in_no_report(folder, tmp_path):
    test = tiny.splits().test
    right = int((load_run(folder).predict(test.images).argmax(axis=1) == test.labels).sum())
    for images, is_refused in ((1, False), (2, True)):
        wrong = right + (images if right <= 20 else -images)
        tiny.edit_result(folder, tested_epoch=1, test_accuracy=wrong / 40)
        tested = Analysis(load_run(folder), test)
        if not is_refused:
            assert tested.tested.images.shape[0] == 40
            continue
        says = (
            f"says that {wrong} of 40 test images were classified correctly, and the run's weights classify {right} of"
        )
        with pytest.raises(InputError, match=says) as caught:
            _ = tested.tested
        assert "\n" not in str(caught.value) and caught.value.setting == "resume"


def test_an_accuracy_of_no_whole_number_of_images_is_refused(folder):
    tiny.edit_result(folder, tested_epoch=1, test_accuracy=0.47)
    with pytest.raises(InputError, match=r"has an accuracy, 0\.47, impossible with 40 test images"):
        _ = Analysis(load_run(folder), tiny.splits().test).tested


@pytest.mark.parametrize(("images", "allowed"), [(36, 1), (200, 4), (2_000, 5), (10_000, 10)])
def test_rounding_may_change_few_predictions_of_few_images(folder, images, allowed):
    result = {"test_accuracy": 0.5}
    check_accuracy(folder, Config(**tiny.CONFIG), result, images // 2 + allowed, images)
    half = Config(**tiny.CONFIG | {"precision": "bf16"})
    check_accuracy(folder, half, result, images // 2 + 5 * allowed, images)
    with pytest.raises(InputError):
        check_accuracy(folder, half, result, images // 2 + 5 * allowed + 1, images)
    with pytest.raises(InputError, match=f"rounding may change {allowed}"):
        check_accuracy(folder, Config(**tiny.CONFIG), result, images // 2 + allowed + 1, images)


@pytest.mark.parametrize("change", [{"test_loss": 0.001}, {"test_balanced_accuracy": 1.0}, {"notes": []}])
def test_a_result_that_was_changed_since_is_refused(folder, change):
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change | {"seconds": 1.5}))
    assert_reported(folder, r"result\.json is damaged: it was changed since it was written; delete it and resume")


def test_loading_leaves_the_weights_on_this_machines_device(folder):
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(load_run(folder).variables))


def test_a_notebook_shows_result_curves_and_report(unfinished, tmp_path):
    run = load_run(unfinished)
    html = run._repr_html_()
    assert "not finished" in html and "after 2 epochs" in html and html.count("<polyline") == 2
    assert "no report yet" in html
    (tmp_path / "report.html").touch()
    done = dataclasses.replace(run, folder=tmp_path, result={"test_accuracy": 0.5})
    assert "test accuracy 50.00%" in done._repr_html_()
    assert f'<a href="{tmp_path}/report.html">' in done._repr_html_()
    assert len(repr(done)) < 2000  # no weights in it


# predicting


def test_a_run_predicts_as_it_was_tested_and_takes_images_of_any_size(folder):
    run, test = load_run(folder), tiny.splits().test
    probabilities = run.predict(test.images)
    assert probabilities.dtype == np.float32 and probabilities.shape == (40, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    logits = run.model.apply(run.variables, to_input(jnp.asarray(test.images), tiny.SPEC))
    np.testing.assert_allclose(probabilities, jax.nn.softmax(logits), atol=1e-5)
    larger = test.images.repeat(3, axis=1).repeat(3, axis=2)  # which resizing makes nearly the same again
    assert (run.predict(larger).argmax(1) == probabilities.argmax(1)).mean() > 0.7
    wide = np.pad(larger, ((0, 0), (0, 0), (30, 30), (0, 0)))  # cropped around its centre
    np.testing.assert_allclose(run.predict(wide), run.predict(larger), atol=0.01)  # the filter sees the new edges


@pytest.mark.parametrize(
    ("images", "got"),
    [
        (np.zeros((2, 32, 32, 3), np.float32), r"got float32 \[2, 32, 32, 3\]"),
        (np.zeros((32, 32, 3), np.uint8), r"got uint8 \[32, 32, 3\]"),
        (np.zeros((2, 32, 32, 1), np.uint8), r"got uint8 \[2, 32, 32, 1\]"),
        (np.zeros((0, 32, 32, 3), np.uint8), r"got uint8 \[0, 32, 32, 3\]"),
        ([[1]], "got list"),
    ],
)
def test_images_of_another_type_or_shape_are_not_classified(folder, images, got):
    with pytest.raises(InputError, match=rf"images must be uint8 \[N, H, W, 3\], RGB in 0-255.*, {got}$"):
        load_run(folder).predict(images)


def test_a_network_refuses_images_that_are_not_normalised(folder):
    run = load_run(folder)
    with pytest.raises(InputError, match=r"images must be normalised floating-point numbers, got uint8; Run\.predict"):
        run.model.apply(run.variables, jnp.asarray(tiny.splits().test.images))
