"""The report: a page of its own for any network and data, that says what was run, and errors told in one line."""

import base64
import dataclasses
import html.parser
import io
import json
import re
import shlex
import shutil
import sys

import chex
import jax
import numpy as np
import pytest
from attention_runs import KINDS
from cnn_layers import layer
from PIL import Image
from report_runs import CLASSES, QUICKLY, data_of, drawn, metrics, run, split

from jaxattn import train
from jaxattn.cli.command import run_command
from jaxattn.config import Config
from jaxattn.data import shapes
from jaxattn.errors import InputError
from jaxattn.explain import analysis, explanation, inference
from jaxattn.explain.analysis import Analysis
from jaxattn.explain.explanation import Explanation
from jaxattn.report import classes, explorer, page, pixels, reproduce, sections
from jaxattn.report.__main__ import main
from jaxattn.report.charts import Line, chart
from jaxattn.training import evaluation
from jaxattn.types import Predictions

pytestmark = pytest.mark.usefixtures("small_network")
VOID = {"meta", "link", "img", "input", "br"}


@pytest.fixture(scope="module", autouse=True)
def quickly():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "SCORED", 4)
        patch.setattr(analysis, "check_accuracy", lambda *result: None)  # those of `report_runs` are made up
        patch.setattr(explanation, "STEPS", 2)
        patch.setattr(inference, "CAPTURED", 4)
        patch.setattr(evaluation, "BATCH", 16)
        patch.setattr(jax, "jit", QUICKLY)
        patch.setattr(inference, "randomised_variables", lambda model, seed, shape: drawn(model, seed + 1, shape))
        yield


class Outline(html.parser.HTMLParser):
    """Tags, headings, images and ids of a page; a tag that is not closed in order is an error."""

    def __init__(self, text):
        super().__init__()
        self.open, self.levels, self.images, self.ids, self.addresses = [], [], [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag == "img" or attributes.get("role") == "img":
            self.images.append(attributes.get("alt", attributes.get("aria-label")))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.addresses += [attributes[name] for name in ("src", "href") if name in attributes]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


def checked(text):
    """A page, after all that must hold of any."""
    outline = Outline(text)
    assert all(address.startswith(("data:", "#")) for address in outline.addresses)
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text
    assert all(alt and alt.strip() for alt in outline.images)
    assert len(set(outline.ids)) == len(outline.ids)
    assert {address[1:] for address in outline.addresses if address[0] == "#"} <= set(outline.ids)
    assert outline.levels[0] == 1 and outline.levels.count(1) == 1
    assert all(below - above <= 2 for above, below in zip(outline.levels, outline.levels[1:], strict=False))
    assert "nan" not in re.sub(r"data:[^\"]*", "", text).lower().replace("nano", "").split()
    assert len(text.encode(errors="replace")) < page.MAX_BYTES
    return text


# every module, network and data set


@pytest.mark.parametrize("name", ["none", *KINDS, "wide:se"])
def test_every_kind_of_attention_has_a_report(name):
    text = checked(page.render([run(name)], split()))
    (found,) = data_of(text)["runs"]
    assert found["layers"]["conv1"]["maps"]
    assert ("Attention gates by class" in text) == bool(found["gates"])
    assert name == "none" or f"Network with {name} attention on drawn" in text.replace("&#43;", "+")


@pytest.mark.parametrize(
    ("attention", "names", "lost"),
    [("cbam", ["block1/channel", "block1/spatial"], "with the means of all gates instead, "), ("none", [], None)],
)
def test_a_report_says_what_each_gate_does_and_what_it_costs(attention, names, lost):
    text = page.render([run(attention)], split())
    assert ("What the gates do" in text) == bool(names)
    sentences = dict(re.findall(r"<li><strong>(block.*?)</strong> (.*?)</li>", text))
    assert set(names) <= sentences.keys() and all(lost in sentence for sentence in sentences.values())


def test_a_report_traces_its_predictions_and_its_explanations_once(monkeypatch):
    monkeypatch.setattr(inference, "explain", chex.assert_max_traces(inference.explain, n=1))
    monkeypatch.setattr(inference, "capture", chex.assert_max_traces(inference.capture, n=1))
    page.render([run("cbam", seed=7, widths=(5,))], split(30))  # raises where there are more


@pytest.mark.parametrize(
    ("widths", "shape"), [((4, 3), (32, 16)), ((3,) * 4, (16, 16)), ((20,), (8, 140))], ids=["tall", "deep", "wide"]
)
def test_a_network_of_any_depth_and_width_has_a_report(widths, shape):
    text = checked(page.render([run(widths=widths, shape=shape)], split(shape=shape, masks=False)))
    found = data_of(text)
    assert found["layers"] == [f"conv{i + 1}" for i in range(len(widths))]
    for values in found["runs"][0]["layers"].values():
        assert len(values["features"]) == len(found["images"])
        for one in values["maps"]:
            assert len(one["overlays"]) == len(one["notes"]) == len(found["images"])
    assert "on object" not in text and "randomised weights" in text


@pytest.mark.parametrize("masks", [True, False])
def test_maps_are_scored_on_the_object_where_it_is_known(masks):
    splits = shapes.make(train=10, test=20)
    test = splits.test if masks else dataclasses.replace(splits.test, masks=None)
    text = checked(page.render([run(classes=splits.classes, shape=(32, 32))], test))
    assert ("mass on object" in text) == masks
    assert [image["truth"] for image in data_of(text)["images"][:10]] == list(range(10))


def test_a_hundred_classes_of_which_some_do_not_occur_have_a_report():
    names = tuple(f"class number {i}" for i in range(100))
    text = checked(page.render([run(classes=names)], split(30, 30)))
    assert "Shown: the 20 of 100 classes" in text and all(f'<th scope="row">{name}</th>' in text for name in names)


def test_names_of_classes_are_text_and_never_markup():
    text = checked(page.render([run()], split()))
    assert "<b>dog" not in text and "&lt;b&gt;dog&lt;/b&gt;" in text
    assert data_of(text)["classes"] == list(CLASSES)


def test_explorer_has_the_prediction_of_each_image_and_its_gates():
    one = run()
    found = data_of(page.render([one], split()))
    explained = Explanation(one, split().images[[image["index"] for image in found["images"]]])
    for prediction, row in zip(found["runs"][0]["predictions"], explained.predictions.probabilities, strict=True):
        assert prediction[0] == [int(row.argmax()), pytest.approx(row.max(), abs=1e-4)]
        assert len(prediction) == 4 and prediction == sorted(prediction, key=lambda pair: -pair[1])
    (gate,) = found["runs"][0]["gates"]
    assert gate["name"] == "block1" and gate["limits"] == [0, 1] and gate["mean"] == sorted(gate["mean"])
    weights = np.sort(explained.gates[layer("block", 1)][:, 0, 0], axis=1)
    np.testing.assert_allclose(np.sort(gate["weights"], axis=1), weights, atol=6e-4)


def test_explorer_starts_with_an_image_of_each_class_and_ends_with_mistakes():
    tested = Analysis(run(), split(40)).tested
    rows = explorer.selected([tested])
    assert sorted(tested.labels[rows[:4]]) == [0, 1, 2, 3] and len(set(rows)) == len(rows)
    wrong = tested.predicted[rows[10:]] != tested.labels[rows[10:]]
    assert wrong.all() and len(wrong) == explorer.MISTAKES


# its numbers


def test_result_has_its_interval_its_chance_level_and_that_it_is_one_run():
    text = checked(page.render([run()], split()))
    assert '<p class="big">25.0%</p>' in text  # what result.json says
    assert "test accuracy on 12 held-out images" in text and "n = 1" in text
    assert "Always predicting one class would give 25%" in text
    assert "8.9% – 53.2%" in text  # Wilson's interval of 3 in 12
    assert "TEST set was monitored" not in text and "not finished" not in text


def test_a_run_that_monitored_the_test_set_and_one_that_is_not_finished_say_so():
    text = page.render([run(recipe="original")], split())
    assert "The TEST set was monitored in this run." in text and "held-out" not in text
    one = run()
    object.__setattr__(one, "result", None)
    text = checked(page.render([one], split()))
    assert "This run is not finished:" in text and "2 of 2 epochs are done" in text


def test_chart_puts_points_where_their_values_are():
    data = chart("A", [Line("b", [1, 2, 3], [0.0, 1.0, 0.5])], "epoch", whole=True)
    assert data["lines"][0]["points"] == [(46, 190), (198, 12), (350, 101)]
    assert [text for _, text in data["x_ticks"]] == ["1", "2", "3"]
    assert data["alt"] == "A. b: from 0 to 0.5, lowest 0, highest 1."
    assert chart("A", [Line("b", [1], [0.2])], "x", percent="y")["alt"] == "A. b: 20%."


def test_worst_confusions_and_the_accuracy_of_each_class_are_listed():
    tested = Predictions(
        np.zeros((4, 2, 2, 3), np.uint8), np.eye(3)[[0, 1, 1, 1]], ("a", "b", "c"), np.array([0, 0, 0, 1])
    )
    found = classes.table(run(classes=tested.classes), tested)
    assert found["worst"] == [("a", "b", pytest.approx(2 / 3))] and (found["best"], found["hardest"]) == ("b", "a")
    assert [one["count"] for one in found["rows"]] == [3, 1, 0]
    assert [one["predicted"] for one in found["rows"]] == ["b (2)", "", ""]
    assert [one["count"] for one in classes.matrix(tested)["rows"]] == [3, 1, 0]


@pytest.mark.parametrize(
    "flags",
    [
        {"dataset": "shapes"},
        {"dataset": "cifar10", "recipe": "original", "learning_rate": 0.01, "monitor": "validation"},
        {"dataset": "folder:/a b/c", "image_size": "48x64", "skip_damaged": True},
        {"dataset": "shapes", "attention": "wide:se", "data_dir": "/a b/c", "attention_at": "2,3", "epochs": 3},
    ],
)
def test_the_command_that_is_shown_trains_the_same_configuration(flags):
    config = Config(**flags)
    words = shlex.split(reproduce.command(config))
    assert words[:2] == ["jaxattn", "train"]
    values = vars(train.parser().parse_args(words[2:]))
    assert Config(**{key: values[key] for key in values if key in Config.__dataclass_fields__}) == config
    assert sum(word.startswith("--") for word in words) == len(flags)  # and no flag is one of a default


def test_every_flag_is_listed_with_its_value():
    acts_on = {"muon_rate": ("hidden/kernel",)}
    listed = [one for group in reproduce.configuration(Config(dataset="shapes"), acts_on).values() for one in group]
    assert len(listed) == len(Config.__dataclass_fields__)
    assert [one["flag"] for one in listed if one["changed"]] == ["--dataset"]
    assert [(one["flag"], one["acts_on"]) for one in listed if one["acts_on"]] == [("--muon-rate", "hidden/kernel")]


# its images


def decoded(address):
    kind, data = address.split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))


def test_values_become_viridis_and_nan_is_transparent():
    shown = decoded(pixels.coloured(np.array([[0, 1, np.nan], [2, -1, 0.5]])))
    np.testing.assert_array_equal(shown[0, 0], (68, 1, 84, 255))
    np.testing.assert_array_equal(shown[0, 1], (253, 231, 36, 255))
    np.testing.assert_array_equal(shown[1], [shown[0, 1], shown[0, 0], (32, 144, 140, 255)])
    assert shown[0, 2, 3] == 0
    assert decoded(pixels.coloured(np.ones((2, 2)), (1, 1))).shape == (2, 2, 4)  # a constant has a colour, too


def test_small_images_are_not_changed_and_large_ones_shrink():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(decoded(pixels.photo(image))[..., :3], image)
    assert decoded(pixels.photo(np.zeros((400, 200, 3), np.uint8))).shape[:2] == (96, 48)
    assert pixels.coarse(np.zeros((2, 400, 90))).shape == (2, 80, 18)


def test_a_page_that_would_be_too_large_has_fewer_images(monkeypatch):
    whole = page.render([run()], split())
    monkeypatch.setattr(page, "MAX_BYTES", len(whole) - 1)
    text = checked(page.render([run()], split()))
    assert data_of(text)["images"] == data_of(whole)["images"][::2] and data_of(text)["examples"] == 5
    (found,) = data_of(text)["runs"]
    assert len(found["predictions"]) == len(found["layers"]["conv1"]["features"]) == len(data_of(text)["images"])


# several runs, files and the command


def test_runs_side_by_side_have_distinct_names():
    runs = [run("cbam"), run("none"), run("se", widths=(4, 4))]
    text = checked(page.render(runs, split()))
    assert [one["name"] for one in data_of(text)["runs"]] == ["cbam", "plain", "se"]
    assert "Side by side: cbam, plain, se on drawn" in text and text.count('class="big"') == 3
    assert data_of(text)["layers"] == ["conv1", "conv2"] and "conv2" not in data_of(text)["runs"][0]["layers"]
    assert sections.run_names([run("se"), run("se", seed=1)]) == ["se, seed 0", "se, seed 1"]
    assert sections.run_names([run("se"), run("se")]) == ["runs/se-0", "runs/se-0"]


def test_command_writes_the_report_into_the_folder(unfinished, capsys):
    main([str(unfinished)])
    assert capsys.readouterr().out == f"{unfinished / 'report.html'}\n"
    text = checked((unfinished / "report.html").read_text())
    assert "is not finished" in text and "<span>--recipe original</span>" in text
    assert not list(unfinished.glob("*.part"))
    main([str(unfinished), str(unfinished), "--out", str(unfinished / "new" / "both.html")])
    checked((unfinished / "new" / "both.html").read_text())
    spaced = shutil.copytree(unfinished, unfinished.parent / "my run")
    main([str(spaced)])
    assert f"jaxattn visualize &#39;{spaced}&#39;" in (spaced / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere holds no run"),
        (["--weights", "first"], "unknown choice of weights 'first'; known are best, last, tested"),
        (["."] * 6, "a report holds up to 6 runs, got 7"),
        (["--out", __file__ + "/report.html"], f"cannot write {__file__}/report.html: "),
    ],
)
def test_wrong_input_gets_one_line_and_exit_code_2(unfinished, capsys, monkeypatch, arguments, message):
    refused(capsys, monkeypatch, [unfinished, *arguments], message)


def test_runs_of_other_images_are_not_put_side_by_side(unfinished, tmp_path, capsys, monkeypatch):
    values = json.loads((unfinished / "config.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    for path in unfinished.iterdir():
        (other / path.name).symlink_to(path)
    (other / "config.json").unlink()
    (other / "config.json").write_text(json.dumps(values | {"dataset_hash": "0"}))
    refused(capsys, monkeypatch, [unfinished, other], "runs side by side must be of the same images")


def refused(capsys, monkeypatch, arguments, message):
    monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        run_command(main)
    printed = capsys.readouterr()
    assert caught.value.code == 2
    assert printed.out == "" and printed.err.count("\n") == 1
    assert printed.err.startswith(f"error: {message}")


# at the end of training


@pytest.mark.parametrize("flags", [[], ["--no-report"]])
@pytest.mark.parametrize("error", [None, InputError("no room"), ZeroDivisionError(), OSError(28, "No space left")])
def test_training_ends_with_a_report_or_says_why_there_is_none(monkeypatch, capsys, flags, error):
    called = []

    def write(runs):
        called.append(runs)
        if error is not None:
            raise error
        return "runs/x/report.html"

    ended = run()
    monkeypatch.setattr("jaxattn.runs.fit.fit", lambda config, out, **options: ended)
    monkeypatch.setattr(page, "write_report", write)
    train.main(["--dataset", "shapes", *flags])  # and raises nothing
    printed = capsys.readouterr().out
    if flags:
        assert not called and printed == ""
    elif error is None:
        assert called == [[ended]] and printed == "report: runs/x/report.html\n"
    else:
        assert printed.startswith("warning: no report: ") and printed.count("\n") == 1
        assert f"jaxattn report {ended.folder}" in printed


def test_plateaus_are_marked_in_the_curves():
    one = run(schedule="plateau")
    object.__setattr__(one, "metrics", metrics(3, [1e-3, 1e-3, 5e-4]))
    assert "a plateau lowered the learning rate" in page.render([one], split())
