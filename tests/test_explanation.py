"""Explanations and analyses of runs: what they select, compute and score."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from cnn_layers import layer
from explained import few_scored_and_quickly_randomised, run, sources  # noqa: F401

from jaxattn.data.augment import normalize
from jaxattn.errors import InputError
from jaxattn.explain import faithfulness, inference, score_table
from jaxattn.explain.cam import CAMS
from jaxattn.explain.explanation import Explanation, Selection
from jaxattn.explain.selection import balanced, least_confident, worst_mistakes
from jaxattn.networks import CNN
from jaxattn.types import MapKind, Predictions, ScoredMaps, Scores


@pytest.mark.parametrize("target", [None, "犬"])
def test_an_explanation_needs_no_labels_and_explains_the_chosen_class(target):
    images = sources("foreign").explanation.predictions.images
    explained = Explanation(run("foreign")[0], images, Selection(("block1",), 2, target))
    assert explained.predictions.labels is None
    expected = explained.predictions.predicted if target is None else np.array([3, 3])
    np.testing.assert_array_equal(explained.targets, expected)
    block = layer("block", 1)
    assert [(cam.kind, cam.layer) for cam in explained.cams] == [(kind, block) for kind in CAMS]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"layers": ("conv2",)}, "unknown layer 'conv2'; known are conv1, norm1, attention1, block1"),
        ({"target": "unicorn"}, "unknown class 'unicorn'; known are un très"),
        ({"channels": 0}, "channels must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_selected_is_reported(selection, message):
    with pytest.raises(InputError, match=message):
        Explanation(run("foreign")[0], run("foreign")[1].images[:1], Selection(**selection))


def test_deletion_goes_from_the_image_to_grey_and_insertion_back_to_the_image():
    explained, made = sources("usual").explanation, run("usual")[0]
    shape = explained.predictions.images.shape
    grey = jnp.broadcast_to(jnp.array([0.4914, 0.4822, 0.4465]), shape)
    logits = jax.jit(made.model.apply)(made.variables, normalize(grey, tiny.SPEC))
    expected = np.take_along_axis(np.asarray(jax.nn.softmax(logits)), explained.targets[:, None], axis=1)[:, 0]
    whole = explained.predictions.probabilities.max(axis=1)
    for one in explained.maps:
        np.testing.assert_allclose(one.scores.deletion[:, 0], whole, rtol=1e-4)
        np.testing.assert_allclose(one.scores.insertion[:, -1], whole, rtol=1e-4)
        np.testing.assert_allclose(one.scores.deletion[:, -1], expected, rtol=1e-4)


def test_pixels_are_removed_from_the_highest_of_a_map_on_by_hand(monkeypatch):
    made, images = run("usual")[0], sources("usual").explanation.predictions.images[:1]
    explained = Explanation(made, images)
    monkeypatch.setattr(explained, "_probabilities", lambda changed: np.stack(list(changed)))
    values = np.arange(16.0).reshape(1, 4, 4)  # lowest in the first corner, highest in the last
    scores = explained.score(values, -values)
    image, grey = images[0].astype(np.float32), 255 * np.array(made.spec.mean, np.float32)
    np.testing.assert_allclose(scores.deletion[1, 0, -1, -1], grey, rtol=1e-5)
    np.testing.assert_allclose(scores.deletion[1, 0, 0, 0], image[0, 0])
    np.testing.assert_allclose(scores.insertion[0], faithfulness.blurred(images.astype(np.float32)))
    np.testing.assert_allclose(scores.insertion[1, 0, -1, -1], image[-1, -1])
    np.testing.assert_allclose(scores.similarity, [-1])


def test_chance_is_the_objects_fraction_of_the_image():
    chance = sources("usual").analysis.scored[0]
    assert (chance.kind, chance.layer, chance.title) == (MapKind.CHANCE, None, "chance")
    area = chance.scores.mass_on_object
    np.testing.assert_allclose(chance.scores.pointing, area)
    assert area.min() > 0 and area.max() < 1


def test_gate_profiles_are_the_captured_gates_averaged_over_positions():
    explained, analysis, _ = sources("usual")
    assert [one.layer for one in explained.gate_maps] == [layer("block", 1, "/spatial")]
    ((gate, profiles),) = analysis.gate_profiles.items()
    assert gate == layer("block", 1, "/channel") and profiles.shape == (20, 8)
    rows = [list(analysis.test_labels).index(label) for label in explained.predictions.labels]
    np.testing.assert_allclose(profiles[rows], explained.gates[gate][:, 0, 0], rtol=1e-5)


def test_plateaus_are_where_the_rate_fell():
    assert sources("many").history.plateaus == [11, 21, 31, 41, 51]
    assert sources("usual").history.plateaus == []


# which images


def test_balanced_takes_classes_in_turn():
    np.testing.assert_array_equal(balanced(np.array([2, 2, 0, 1, 0, 2]), 4), [2, 3, 0, 4])
    np.testing.assert_array_equal(balanced(np.array([1, 1]), 9), [0, 1])


def test_worst_mistakes_are_the_most_confident_and_the_least_confident_may_be_correct():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.45, 0.55], [0.99, 0.01]])
    tested = Predictions(np.zeros((4, 1, 1, 3), np.uint8), probabilities, ("a", "b"), np.array([1, 0, 0, 0]))
    np.testing.assert_array_equal(worst_mistakes(tested, 2), [0, 1])
    np.testing.assert_array_equal(least_confident(tested, 2), [2, 1])


# the table of scores


def test_weights_are_drawn_again_by_another_generator():
    model = CNN(widths=(4,), hidden=4)
    image = jnp.zeros((1, 8, 8, 3))
    drawn, of_run = inference.randomised_variables(model, 3, (8, 8, 3)), model.init(jax.random.key(3), image)
    same = jax.tree.map(np.array_equal, drawn["params"]["head"]["kernel"], of_run["params"]["head"]["kernel"])
    assert not same
    other = inference.randomised_variables(model, 4, (8, 8, 3))
    assert not np.array_equal(drawn["params"]["head"]["kernel"], other["params"]["head"]["kernel"])


def test_the_best_score_is_the_lowest_under_deletion_and_the_highest_elsewhere():
    table = [score_table.Row(MapKind.CHANCE, None, *[value] * 4, 0.1) for value in (0.2, 0.4)]
    found = {name: score_table.best(table, name) for name in score_table.COLUMNS}
    assert found == {"mass_on_object": 0.4, "pointing": 0.4, "deletion": 0.2, "insertion": 0.4, "similarity": None}


def test_score_table_has_means_and_chance_first():
    curves, maps = np.array([[1.0, 1.0, 1.0], [1.0, 0.5, 0.0]]), np.zeros((2, 1, 1))
    known = Scores(np.array([0.2, 0.6]), np.array([1, 0]), curves, curves[:, ::-1], np.array([0.1, 0.3]))
    unknown = Scores(None, None, curves, curves, np.array([np.nan, np.nan]))
    first, second = score_table.rows(
        [
            ScoredMaps(MapKind.GRAD_CAM, layer("conv", 1), maps, maps, known),
            ScoredMaps(MapKind.CHANCE, None, maps, maps, unknown),
        ]
    )
    assert first == (MapKind.CHANCE, None, None, None, 0.75, 0.75, None)
    assert second[:2] == (MapKind.GRAD_CAM, layer("conv", 1))
    assert second[2:] == (pytest.approx(0.4), 0.5, 0.75, 0.75, pytest.approx(0.2))


def test_mean_similarity_leaves_out_constant_maps():
    curves, maps = np.zeros((2, 3)), np.zeros((2, 1, 1))
    scores = Scores(None, None, curves, curves, np.array([np.nan, 0.3]))
    (row,) = score_table.rows([ScoredMaps(MapKind.GRAD_CAM, layer("conv", 1), maps, maps, scores)])
    assert row.similarity == pytest.approx(0.3)


def test_maps_of_a_network_that_ignores_its_input_have_no_similarity_in_the_table():
    table = score_table.rows(sources("plain").analysis.scored)
    assert len(table) > 1 and {score_table.text("similarity", row.similarity) for row in table} == {"–"}


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("pointing", 0.456, "46%"), ("deletion", 0.456, "0.46"), ("similarity", -0.001, "0.00"),
        ("similarity", None, "–"), ("similarity", float("nan"), "–"), ("mass_on_object", None, "–"),
    ],
)  # fmt: skip
def test_score_table_values_as_they_are_shown(name, value, text):
    assert score_table.text(name, value) == text
