"""Predictions of networks whose gates are knocked out, by hand and by networks that have such gates of their own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import linen as nn
from marked import Marker, by_hand, of_kinds
from report_runs import QUICKLY, drawn

from jaxattn.attention import Gate, resolve
from jaxattn.data.augment import to_input
from jaxattn.explain import inference, knockout
from jaxattn.explain.capture import capture
from jaxattn.explain.knockout import CONDITIONS, accuracy_lost, at, knockout_predictions, lost_with_means, sites_of
from jaxattn.networks import CNN
from jaxattn.training import evaluation
from jaxattn.training.evaluation import BATCH

SHAPE = (8, 8, 3)


@pytest.fixture(scope="module", autouse=True)
def quickly_compiled():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "jit", QUICKLY)
        yield


# by hand: grey images of four kinds, and gates that are 1 for the channel of the image's kind, else 0


class Several(nn.Module):
    """Two calls of a gate of two arrays, one of them a number, computed from the gate of another module."""

    @nn.compact
    def gate(self, x, shift):
        return jnp.roll(Marker(name="marker").gate(x), shift, axis=3), jnp.float32(0.5)

    def __call__(self, x):
        (one, half), (next_one, other_half) = self.gate(x, 0), self.gate(x, 1)
        return x * (half * one + 3 * other_half * next_one)


def test_gates_are_replaced_once_at_each_call_by_hand():
    kinds = np.array([1, 1, 2, 0, 1] * 50)[:BATCH]
    kinds = np.append(kinds, [3, 3, 0, 3] * 13)  # a full batch, and one with more fill than images
    found = knockout_predictions(*by_hand(Several), of_kinds(kinds))
    assert tuple(found) == CONDITIONS
    np.testing.assert_array_equal(found["intact"], (kinds + 1) % 4)
    np.testing.assert_array_equal(found["one"], 3)
    np.testing.assert_array_equal(found["mean"], 2)  # 1 + 1: most images are of kind 1
    before = np.zeros_like(kinds)
    for rows, valid in evaluation.batches(len(kinds)):
        before[rows[valid]] = np.roll(kinds[rows[valid]], 1)
    np.testing.assert_array_equal(found["other image"], (before + 1) % 4)


# by other networks, with the same convolutions, norms and dense layers


@functools.cache
def network(name):
    """A network, and variables drawn at random, but for the attention's the same for every name."""
    model = CNN(widths=(4, 4), hidden=8, attention=resolve(name, 4))
    variables, plain = drawn(model, 0, SHAPE), drawn(model.clone(attention=None), 0, SHAPE)
    for collection, values in plain.items():
        for path, leaf in values.items():
            variables[collection][path].update(leaf)
    return model, variables


def with_spec(name):
    model, variables = network(name)
    return model, tiny.SPEC, variables


@functools.cache
def images():
    patches = np.random.default_rng(1).integers(0, 256, (250, 2, 2, 3))  # large ones, so that gates differ by image
    return patches.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)


@functools.cache
def found(name):
    return knockout_predictions(*with_spec(name), images())


def predicted(model, variables):
    return inference.predict(model, tiny.SPEC, variables, images()).logits.argmax(axis=1)


@pytest.mark.parametrize("name", ["se", "cbam"])
def test_every_condition_changes_some_predictions(name):
    for condition in CONDITIONS[1:]:
        assert np.mean(found(name)[condition] != found(name)["intact"]) > 0.1


@pytest.mark.parametrize("name", ["none", "gc"])
def test_without_a_gate_there_is_only_the_intact_network(name):
    assert tuple(found(name)) == ("intact",)


@pytest.mark.parametrize("name", ["none", "se", "cbam"])
def test_the_intact_network_predicts_what_it_predicts_elsewhere(name):
    np.testing.assert_array_equal(found(name)["intact"], predicted(*network(name)))


@pytest.mark.parametrize("name", ["se", "cbam", "constant"])
def test_with_gates_of_one_it_is_the_plain_network(name):
    np.testing.assert_array_equal(found(name)["one"], found("none")["intact"])


def test_with_gates_of_other_images_it_is_the_control_shuffled():
    model, _ = network("shuffled")
    _, variables = network("se")
    np.testing.assert_array_equal(found("se")["other image"], predicted(model, variables))


class Given(Gate):
    """The weights that stand in its parameters."""

    def gate(self, x):
        return self.get_variable("params", "weights")


@pytest.mark.parametrize("name", ["se", "cbam"])
def test_with_mean_gates_it_is_a_network_of_the_means_of_what_is_captured(name):
    model, variables = network(name)
    run = QUICKLY(lambda values, x: capture(model, values, to_input(x, tiny.SPEC)).gates)
    params = dict(variables["params"])
    for key, gate in jax.device_get(run(variables, images())).items():
        block = key.block
        before = params[block]["attention"].get("weights", np.float32(1))  # of the gate before it, if it has several
        params[block] = params[block] | {"attention": {"weights": before * gate.mean(axis=0, keepdims=True)}}
    given = predicted(model.clone(attention=Given), variables | {"params": params})
    np.testing.assert_array_equal(found(name)["mean"], given)


@pytest.mark.parametrize("condition", ["mean", "other image"])
def test_a_constant_gate_is_its_own_mean_and_that_of_other_images(condition):
    np.testing.assert_array_equal(found("constant")[condition], found("constant")["intact"])


@pytest.mark.parametrize("count", [1, 250])
def test_equal_images_have_equal_gates(count):
    predictions = knockout_predictions(*with_spec("se"), images()[:1].repeat(count, axis=0))
    assert len(predictions["intact"]) == count
    for condition in ("mean", "other image"):
        np.testing.assert_array_equal(predictions[condition], predictions["intact"])


def test_accuracy_lost_by_hand_in_points():
    labels = np.array([0, 1, 2, 3])
    predictions = {"intact": np.array([0, 1, 2, 0]), "one": np.zeros(4, int), "mean": labels}
    assert accuracy_lost(predictions, labels) == {"one": 50, "mean": -25}
    assert accuracy_lost({"intact": labels}, labels) == {}


# by site


@functools.cache
def found_by_site(name):
    return knockout_predictions(*with_spec(name), images(), by_site=True)


@pytest.mark.parametrize("name", ["se", "cbam"])
def test_each_site_is_knocked_out_alone_too(name):
    by_site = found_by_site(name)
    assert tuple(by_site) == (*CONDITIONS, *(at(one, site) for site in ("block1", "block2") for one in CONDITIONS[1:]))
    assert sites_of(by_site) == ["block1", "block2"] and sites_of(CONDITIONS) == []
    for condition in CONDITIONS:
        np.testing.assert_array_equal(by_site[condition], found(name)[condition])
    for site in ("block1", "block2"):
        assert np.mean(by_site[at("one", site)] != by_site["intact"]) > 0.01


@pytest.mark.parametrize(("site", "kept"), [("block1", 2), ("block2", 1)])
def test_with_gates_of_one_at_a_site_the_network_has_attention_at_the_others_alone(site, kept):
    model, variables = network("se")
    params = {name: dict(values) for name, values in variables["params"].items()}
    del params[site.replace("block", "block_")]["attention"]
    other = model.clone(attention_at=(kept,))
    np.testing.assert_array_equal(
        found_by_site("se")[at("one", site)], predicted(other, variables | {"params": params})
    )


def test_what_is_knocked_out_at_one_site_is_not_what_is_at_all():
    for condition in ("mean", "other image"):
        changed = found_by_site("se")[at(condition, "block1")]
        assert np.mean(changed != found("se")[condition]) > 0 and np.mean(changed != found("se")["intact"]) > 0


def test_a_network_with_one_site_has_no_other_parts():
    model, variables = network("se")
    params = {name: dict(values) for name, values in variables["params"].items()}
    del params["block_1"]["attention"]
    one = model.clone(attention_at=(2,))
    found = knockout_predictions(one, tiny.SPEC, variables | {"params": params}, images(), by_site=True)
    assert tuple(found) == CONDITIONS
    only = knockout_predictions(one, tiny.SPEC, variables | {"params": params}, images(), True, ("mean",))
    assert tuple(only) == ("intact", "mean")
    np.testing.assert_array_equal(only["mean"], found["mean"])


def test_what_is_lost_is_that_of_what_is_replaced():
    assert lost_with_means({"one": 1.0, "mean": 2.0}, ["block3"]) == {"block3": ("its mean", 2.0)}
    both = {"block3/channel": ("the means of all gates", 2.0), "block3/spatial": ("the means of all gates", 2.0)}
    assert lost_with_means({"mean": 2.0}, both) == both
    by_site = {"mean": 2.0, "mean at block1": 0.5, "mean at block10": 1.5}
    assert lost_with_means(by_site, ["block1/a", "block1/b#2", "block10", "stem"]) == {
        "block1/a": ("the means of block1", 0.5), "block1/b#2": ("the means of block1", 0.5),
        "block10": ("its mean", 1.5),
    }  # fmt: skip
    alike = {"mean": 2.0, "mean at conv": 0.5, "mean at conv_2": 1.5}  # one name begins with the other
    assert lost_with_means(alike, ["conv_2"]) == {"conv_2": ("its mean", 1.5)}
    by_stage = {"mean": 2.0, "mean at stage1": 0.5, "mean at stage2": 1.5}
    assert lost_with_means(by_stage, ["stage2_block1"]) == {"stage2_block1": ("the means of stage2", 1.5)}


def test_of_many_sites_those_of_a_stage_are_replaced_together(monkeypatch):
    monkeypatch.setattr(knockout, "MAX_SITES", 1)
    found = knockout_predictions(*with_spec("se"), images(), by_site=True)
    assert sites_of(found) == ["stage1", "stage2"]  # of this network, each block is a stage
    for condition in CONDITIONS[1:]:
        np.testing.assert_array_equal(found[at(condition, "stage2")], found_by_site("se")[at(condition, "block2")])
