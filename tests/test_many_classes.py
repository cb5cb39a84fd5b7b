"""Data sets of every kind: reports, figures, predictions, exports and comparisons of each, without a warning."""

import importlib.util
import json
import re
import shutil

import jax
import numpy as np
import pytest
import tiny
from kinds import KINDS, dataset, finished, splits
from PIL import Image
from report_runs import QUICKLY, drawn

from jaxattn import Config, fit, predict
from jaxattn.comparison import page as comparison
from jaxattn.comparison import predictions as compared
from jaxattn.comparison.compare import of_runs
from jaxattn.data import DATASETS
from jaxattn.errors import InputError
from jaxattn.explain import analysis, explanation, groups, inference
from jaxattn.explain.analysis import Analysis, History
from jaxattn.explain.explanation import Explanation
from jaxattn.explain.selection import balanced
from jaxattn.exports import safetensors, stablehlo
from jaxattn.plots import PLOTS, canvas, draw
from jaxattn.report import classes, page
from jaxattn.runs import messages
from jaxattn.runs.run import load_run
from jaxattn.types import Predictions

pytestmark = pytest.mark.usefixtures("small_network")


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "DPI", 50)
        for module in (analysis, compared):
            patch.setattr(module, "check_accuracy", lambda *result: None)  # those of `finished` are made up
        patch.setattr(page, "SCORED", 4)
        patch.setattr(explanation, "STEPS", 2)
        patch.setattr(inference, "randomised_variables", lambda model, seed, shape: drawn(model, seed + 1, shape))
        for kind in KINDS:
            patch.setitem(DATASETS, kind, dataset(kind))
        yield


@pytest.fixture(autouse=True)
def quickly_compiled(request, monkeypatch):
    """Programs are not optimised, but those for large images, which run longer than they are compiled."""
    if getattr(request.node, "callspec", None) and request.node.callspec.params.get("kind") != "large":
        monkeypatch.setattr(jax, "jit", QUICKLY)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of two runs with attention and two without, by kind of data set."""
    folders = {}

    def of(kind):
        if kind not in folders:
            root = tmp_path_factory.mktemp(kind)
            folders[kind] = [
                finished(root / f"{attention}-{seed}", kind, attention=attention, seed=seed)
                for attention in ("none", "se")
                for seed in (0, 1)
            ]
        return folders[kind]

    return of


@pytest.mark.parametrize("kind", ["two", "hundred", "thousand", "unequal", "grey", "wide"])
def test_every_kind_is_trained_and_its_result_has_the_accuracies_that_it_needs(kind, tmp_path, quiet):
    config = Config(**tiny.CONFIG | {"dataset": kind, "epochs": 1, "batch_size": 2, "recipe": "original"})
    run, labels = fit(config, tmp_path / "run", quiet), KINDS[kind][1]
    predicted = run.predict(splits(kind).test.images).argmax(axis=1)
    recall = [np.mean(predicted[labels == k] == k) for k in np.unique(labels)]
    assert run.result["test_balanced_accuracy"] == pytest.approx(np.mean(recall))
    assert run.result["train_images_by_class"] == np.bincount(labels).tolist()
    assert ("test_superclass_accuracy" in run.result) == (kind == "hundred")
    line = messages.result_line(run.result)
    assert run.result["test_images_by_class"] == np.bincount(labels).tolist()
    assert ("balanced accuracy, the mean" in line) == (kind in ("unequal", "thousand"))
    assert ("accuracy of the superclass" in line) == (kind == "hundred")


@pytest.mark.parametrize("value", [3, [1, -1], [0.5], {"a": 1}])
def test_a_result_with_damaged_counts_is_refused(runs, tmp_path, value):
    folder = shutil.copytree(runs("two")[0], tmp_path / "run")
    tiny.edit_result(folder, train_images_by_class=value)
    with pytest.raises(InputError, match="must be a list of whole numbers"):
        load_run(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_report_and_a_comparison(runs, kind, monkeypatch):
    folders, spec = runs(kind), KINDS[kind][0]
    text = page.write_report([load_run(folders[2])]).read_text()
    assert all(f'<th scope="row">{name}</th>' in text for name in spec.classes)
    assert ("Classes have unequal numbers of images" in text) == (kind in ("unequal", "thousand"))
    assert ("accuracy of the superclass" in text) == (kind == "hundred")
    monkeypatch.setattr(comparison.canvas, "write", lambda figure, path: None)  # each is drawn for the page
    few = folders[::2] if kind == "large" else folders  # one seed is quick
    result = of_runs(few, folders[0].parent / "compared")
    text, lines = result.page.read_text(), str(result).splitlines()
    for name, line in zip(("none", "se"), lines, strict=False):
        balanced = result.table.balanced.get(name)
        assert line.startswith(f"{name}: ") and (f", balanced {balanced or 0:.2%}, " in line) == (balanced is not None)
    assert bool(result.table.balanced) == (kind in ("unequal", "thousand"))
    assert f"se against none on {kind}" in text
    assert ("mean balanced accuracy" in text) == (kind in ("unequal", "thousand"))
    assert ("classes that changed most" in text) == (len(spec.classes) > 20)
    assert all(f'<th scope="row">{name}</th>' in text for name in spec.classes if len(spec.classes) > 20)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_plots(runs, kind):
    run, test = load_run(runs(kind)[2]), splits(kind).test
    analysis = Analysis(run, test)
    some = analysis.some(balanced(test.labels, 2, run.spec.superclasses))
    sources = {"history": History(run), "explanation": Explanation(run, some), "analysis": analysis}
    for name in PLOTS:
        if name not in ("gates-by-position", "attention-received"):  # which this network does not have
            assert canvas.encode(draw(name, **sources)).startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_is_predicted_and_explained(runs, kind, tmp_path, capsys):
    folder, spec = runs(kind)[2], KINDS[kind][0]
    Image.fromarray(splits(kind).test.images[0]).save(tmp_path / "image.png")
    predict.main([str(folder), str(tmp_path / "image.png"), "--top", "2000", "--explain", "--out", str(tmp_path)])
    line = capsys.readouterr().out.splitlines()[0]
    assert line.count("%") == len(spec.classes) and all(f"{name} " in line for name in spec.classes)
    assert (tmp_path / "image-cam.png").exists()
    predict.main([str(folder), str(tmp_path / "image.png"), "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert list(answer["probabilities"]) == list(spec.classes)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_exported(runs, kind, tmp_path):
    run, spec = load_run(runs(kind)[2]), KINDS[kind][0]
    images = splits(kind).test.images[:3]
    expected = run.predict(images)
    for name, content in safetensors.contents(run, run.image_shape).items():
        (tmp_path / name).write_bytes(content)
    np.testing.assert_array_equal(safetensors.load(tmp_path).predict(images), expected)
    card = (tmp_path / "README.md").read_text()
    assert re.sub(r"https\S*html", r"<\g<0>>", spec.source) in card and spec.classes[0] in card and len(card) < 6000
    assert (spec.classes[-1] in card) == (len(spec.classes) <= 20)
    program = stablehlo.program(run, run.image_shape)
    np.testing.assert_allclose(program.call(images), expected, atol=1e-5)
    assert len(stablehlo.contents(run, run.image_shape)["README.md"]) < 3000


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_exported_to_pytorch(runs, kind, tmp_path):
    import torch

    from jaxattn.exports import torch as exported

    run, images = load_run(runs(kind)[2]), splits(kind).test.images[:3]
    for name, content in exported.contents(run, run.image_shape).items():
        (tmp_path / name).write_bytes(content)
    spec = importlib.util.spec_from_file_location(f"exported_{kind}", tmp_path / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.no_grad():
        logits = module.load(tmp_path / "model.pt")(module.preprocess(torch.tensor(images)))
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), run.predict(images), atol=1e-4)


# which classes are shown


def predictions(truth, predicted, names, superclasses=()):
    truth, predicted = np.array(truth), np.array(predicted)
    images = np.zeros((len(truth), 2, 2, 3), np.uint8)
    return Predictions(images, np.eye(len(names))[predicted], tuple(names), truth, None, tuple(superclasses))


def test_few_classes_are_shown_as_they_are():
    found = groups.grouped(predictions([0, 1, 1], [0, 0, 1], "ab", "xx"), most=2)
    assert found.names == found.columns == ("a", "b") and found.about == "2 classes"


def test_many_classes_are_shown_by_superclass():
    given = predictions([0, 1, 2, 2], [1, 2, 0, 2], "abc", "yyx")
    found = groups.grouped(given, most=2)
    assert found.names == found.columns == ("x", "y") and (found.kind, found.about) == ("superclass", "2 superclasses")
    np.testing.assert_array_equal(groups.confusion(given, found), [[1, 1], [1, 1]])


def test_of_many_classes_those_confused_with_each_other_are_shown():
    given = predictions([0, 1, 2, 3, 3, 1, 0], [0, 3, 0, 1, 1, 2, 2], "abcd")  # b and d three times, a and c twice
    found = groups.grouped(given, most=2)
    assert found.names == ("b", "d") and found.columns == ("b", "d", "others")
    assert found.about == "the 2 of 4 classes that are confused most often with each other"
    np.testing.assert_array_equal(groups.confusion(given, found), [[0, 1, 1], [2, 0, 0]])
    assert groups.grouped(given, most=3).names == ("b", "d", "a")


def test_examples_of_many_classes_are_of_as_many_superclasses_as_possible():
    labels = np.array([3, 2, 1, 0, 0])
    np.testing.assert_array_equal(balanced(labels, 2), [3, 1])  # classes 0 and 2
    np.testing.assert_array_equal(balanced(labels, 2, "xxxy"), [3, 1])
    np.testing.assert_array_equal(balanced(labels, 2, "yxyx"), [2, 3])  # x: classes 1 and 3, y: 0 and 2


def test_the_table_counts_what_classes_are_wrongly_predicted_as(runs):
    run = load_run(runs("unequal")[2])
    given = predictions([0, 0, 0, 0, 1], [0, 2, 1, 2, 1], run.classes)
    first, second, third, *_ = classes.table(run, given)["rows"]
    assert (first["accuracy"], first["count"], first["predicted"]) == (0.25, 4, f"{run.classes[2]} (2)")
    assert (second["accuracy"], second["predicted"], third["count"]) == (1, "", 0)
    assert first["trained"] == 1 and third["trained"] == 11  # what `result.json` says
    found = classes.images_by_class([run], given)
    assert found["ranges"] == {"training": [1, 50], "test": [0, 4]}
