"""How gates vary, by hand."""

import json

import numpy as np
import pytest
import tiny

from jaxattn.comparison import vital_signs
from jaxattn.comparison.compare import compare, show
from jaxattn.explain.gates import Signs, class_means, describe, gate_limits, signs


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


@pytest.mark.usefixtures("small_network", "no_figures")
def test_signs_are_kept_with_a_run_and_made_again_where_they_are_damaged(tmp_path, monkeypatch):
    compare(["none", "se"], 1, tmp_path, **tiny.CONFIG | {"epochs": 1})
    path = tmp_path / "se-s0" / vital_signs.KEPT
    kept = path.read_bytes()
    values = json.loads(kept)
    assert list(values["gates"]) == ["block1", "block2", "block3"] and not (tmp_path / "none-s0" / path.name).exists()
    made = []
    monkeypatch.setattr(vital_signs, "signs", lambda *arguments: made.append(1) or signs(*arguments))
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


def test_class_means_by_hand():
    means = class_means(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(means, [[2, 3], [np.nan, np.nan], [5, 6]])


@pytest.mark.parametrize("values", [(0.2, 0.9), (0.0, 1.0), (0.5, 0.5)])
def test_gates_between_0_and_1_have_that_scale(values):
    assert gate_limits([np.array(values), np.array([0.4])]) == (0, 1)


def test_gates_beyond_0_and_1_widen_the_scale():
    assert gate_limits([np.array([-2.0, 0.5]), np.array([3.0])]) == (-2, 3)
