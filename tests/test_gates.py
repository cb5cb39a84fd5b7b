"""How gates vary, by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from report_runs import drawn

from jaxattn.attention import resolve
from jaxattn.comparison import vital_signs
from jaxattn.comparison.compare import compare, show
from jaxattn.comparison.results import Finished
from jaxattn.config import Config
from jaxattn.data.augment import to_input
from jaxattn.explain import inference
from jaxattn.explain.capture import capture
from jaxattn.explain.gates import Signs, class_means, describe, gate_limits, signs
from jaxattn.networks import CNN
from jaxattn.runs.manifest import Manifest


def test_spread_by_hand():
    labels = np.array([0, 0, 1, 1])
    by_class = np.array([[0.2, 0.9], [0.2, 0.9], [0.4, 0.5], [0.4, 0.5]])
    found = signs(by_class, labels)
    assert found.between_images == pytest.approx(np.sqrt((0.1**2 + 0.2**2) / 2))
    assert found.between_channels == pytest.approx(0.2)  # means .3 and .7
    assert found.by_class == pytest.approx(1)
    assert signs(by_class, np.array([0, 1, 0, 1])).by_class == pytest.approx(0)


def test_a_constant_gate_has_no_spread():
    found = signs(np.full((5, 3), 0.3, np.float32), np.array([0, 1, 0, 1, 2]))
    assert found[1:8] == (0, 0, 0, 0, 0, 0, 0) and found.mean == pytest.approx(0.3)
    assert found.effective_channels == pytest.approx(3) and found.channels == 3


def test_signs_by_hand():
    found = signs(np.array([[0.0, 1.0], [0.04, 0.96], [0.5, 0.5], [0.5, 0.5]]), np.array([0, 0, 1, 2]))
    assert (found.dead, found.saturated, found.mean) == (2 / 8, 2 / 8, 0.5)
    assert found.within_class == pytest.approx(np.sqrt(4 * 0.02**2 / 8))
    means = np.array([1.04 / 4, 2.96 / 4])
    assert found.effective_channels == pytest.approx(means.sum() ** 2 / (means**2).sum())
    assert signs(np.zeros((2, 3)), np.array([0, 1])).effective_channels == 0


def test_the_correlation_with_the_activation_by_hand():
    labels, activations = np.array([0, 1, 1]), np.array([[1.0, 5.0, 2.0], [2.0, 5.0, 1.0], [3.0, 5.0, 0.0]])
    gates = np.array([[0.1, 0.1, 0.1], [0.2, 0.5, 0.2], [0.3, 0.3, 0.4]])
    found = signs(gates, labels, activations)  # 1, none, and of (1, 0, -1) with (-4, -1, 5) / 30
    assert found.with_activation == pytest.approx((1 - 9 / np.sqrt(2 * 42)) / 2)
    assert signs(gates, labels, activations[:, :2]).with_activation == 0 == signs(gates, labels).with_activation


def test_a_gate_by_position_has_signs_of_all_its_weights():
    means, labels = np.full((3, 1), 0.5, np.float32), np.array([0, 1, 1])
    activations = np.array([[1.0, 3.0], [2.0, 4.0], [9.0, 3.0]])
    of_positions = np.tile([0.5, 0.5, 0.25], (3, 1))  # half of the weights 0, half 1
    one = signs(means, labels, activations, of_positions)
    assert (one.dead, one.saturated, one.between_positions) == (0.5, 0.5, 0.5)
    assert describe(one) == (
        "has a mean that is one number for all channels and images; varies by 0.50 between positions; 50% of its "
        "weights are below 0.05; 50% of its weights are above 0.95"
    )
    assert signs(activations.mean(axis=1, keepdims=True) / 10, labels, activations).with_activation == pytest.approx(1)


def test_predictions_have_the_signs_of_gates_by_position():
    model = CNN(classes=4, widths=(4,), hidden=8, attention=resolve("cbam", 4))
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    variables = drawn(model, 0, (8, 8, 3))
    predicted = inference.predict(model, tiny.SPEC, variables, images)
    gates = capture(model, variables, to_input(images, tiny.SPEC)).gates
    found = predicted.signs(np.arange(6) % 2)
    assert [str(name) for name in found] == ["block1/channel", "block1/spatial"]
    for name, one in found.items():
        gate = np.asarray(gates[name])
        assert one.dead == pytest.approx((gate < 0.05).mean()) and one.saturated == pytest.approx((gate > 0.95).mean())
        assert one.between_positions == pytest.approx(np.sqrt(gate.var(axis=(1, 2)).mean()), abs=1e-6)
        assert one.channels == gate.shape[-1]


def test_a_gate_in_a_sentence():
    fixed = Signs(0.5, 0.001, 0.001, 0.1, 0.9, 0.0, 0.0, 0.0, 30.0, 32.0)
    assert describe(fixed) == "is a fixed scale"
    assert describe(fixed._replace(between_channels=0.001)) == "is one number for all channels and images"
    varying = fixed._replace(between_images=0.1, by_class=0.6, dead=0.25)
    assert describe(varying, 0.8) == (
        "depends on the image, mostly by its class; 25% of its weights are below 0.05; with its mean instead, "
        "-0.80 points"
    )
    assert describe(varying._replace(by_class=0.2, dead=0.0, saturated=0.5), -0.001) == (
        "depends on the image, less than half by its class; 50% of its weights are above 0.95; with its mean instead, "
        "+0.00 points"
    )
    assert (
        describe(fixed, 1.0, "the means of stage2")
        == "is a fixed scale; with the means of stage2 instead, -1.00 points"
    )


@pytest.mark.usefixtures("small_network", "no_figures")
def test_signs_are_kept_with_a_run_and_made_again_where_they_are_damaged(tmp_path, monkeypatch):
    compare(["none", "se"], 1, tmp_path, **tiny.CONFIG | {"epochs": 1})
    path = tmp_path / "se-s0" / vital_signs.KEPT
    kept = path.read_bytes()
    values = json.loads(kept)
    assert list(values["gates"]) == ["block1", "block2", "block3"] and not (tmp_path / "none-s0" / path.name).exists()
    made = []
    monkeypatch.setattr(inference, "signs", lambda *arguments: made.append(1) or signs(*arguments))
    first = values["gates"]["block1"]
    for change in (
        {"of": "others"},
        {"gates": []},
        {"gates": {"block1": {}}},
        {"gates": {"block1": first | {"mean": "1"}}},
    ):
        path.write_text(json.dumps(values | change))
        show(tmp_path)
        assert path.read_bytes() == kept and len(made) == 3
        made.clear()
    show(tmp_path)
    assert made == []


def test_signs_are_means_over_seeds(monkeypatch):
    one = np.zeros(40, int)
    of_seed = {seed: Signs(*[0.2 * (seed + 1)] * len(Signs._fields)) for seed in (0, 1)}
    monkeypatch.setattr(vital_signs, "_of_run", lambda run, test: {"block1": of_seed[run.config.seed]})
    runs = {seed: Finished(Path(), Config(seed=seed), {}, [], Manifest(Config(), tiny.SPEC, "0")) for seed in (0, 1)}
    predicted = {"se": {seed: {"intact": one, "one": one} for seed in (0, 1)}, "none": {0: {"intact": one}}}
    found = vital_signs.vital_signs({"se": runs, "none": {0: runs[0]}}, predicted, tiny.splits().test)
    assert list(found) == ["se"] and list(found["se"]["block1"]) == pytest.approx([0.3] * len(Signs._fields))


def test_class_means_by_hand():
    means = class_means(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(means, [[2, 3], [np.nan, np.nan], [5, 6]])


@pytest.mark.parametrize("values", [(0.2, 0.9), (0.0, 1.0), (0.5, 0.5)])
def test_gates_between_0_and_1_have_that_scale(values):
    assert gate_limits([np.array(values), np.array([0.4])]) == (0, 1)


def test_gates_beyond_0_and_1_widen_the_scale():
    assert gate_limits([np.array([-2.0, 0.5]), np.array([3.0])]) == (-2, 3)
