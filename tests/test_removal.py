"""Accuracy as channels are removed: by hand, and for modules with several gates, one for all images, or none."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import linen as nn
from marked import Marker, by_hand, marked, of_kinds
from report_runs import QUICKLY, drawn, split

from jaxattn.attention import Gate, resolve
from jaxattn.attention.chain import Chain
from jaxattn.explain import removal as module
from jaxattn.explain.removal import removal
from jaxattn.networks import CNN, create
from jaxattn.plots import removal as plot
from jaxattn.types import ORDERS, Removal


@pytest.fixture(scope="module", autouse=True)
def quickly_compiled():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "jit", QUICKLY)
        yield


def test_channels_are_removed_in_three_orders_by_hand(monkeypatch):
    monkeypatch.setattr(module, "STEPS", 4)  # a channel each
    kinds = np.array([0, 1, 2, 3] * 3 + [0] * 8)
    found = removal(*by_hand(Marker), of_kinds(kinds), kinds)
    assert list(found) == ["block1"]
    one = found["block1"]
    share = np.bincount(kinds) / len(kinds)
    np.testing.assert_allclose(one.fractions, [0, 0.25, 0.5, 0.75, 1])
    gate, activation, random = one.accuracy
    np.testing.assert_allclose(gate, [1, 1, 1, 1, share[3]])  # the image's channel is the last to go
    np.testing.assert_allclose(
        activation, [1, 1 - share[0], share[2:].sum(), share[3], share[3]]
    )  # all alike: by place
    removed = np.argsort(np.random.default_rng(0).permutation(4))  # the same in every image
    kept = [np.setdiff1d(np.append(removed[n:], 3), []) for n in range(5)]  # the last is predicted without its channel
    np.testing.assert_allclose(random, [share[one].sum() for one in kept])


def test_the_area_over_random_by_hand():
    one = Removal(np.array([[1, 0.8, 0.2], [1, 0.2, 0.2], [1, 0.4, 0.2]]), np.array([0, 0.5, 1]), 500)
    assert one.over_random("gate") == pytest.approx(20)
    assert one.over_random("activation") == pytest.approx(-10)
    assert one.over_random("random") == 0


@pytest.mark.parametrize("name", ["cbam", "constant", "se+eca", "gc"])
def test_modules_with_several_gates_and_without(name):
    model = CNN(classes=4, widths=(4, 4), hidden=8, attention=resolve(name, 4))
    images = split(20)
    found = removal(model, tiny.SPEC, drawn(model, 0, (8, 8, 3)), images.images, images.labels)
    assert list(found) == ([] if name == "gc" else ["block1", "block2"])
    for one in found.values():
        assert one.accuracy.shape == (len(ORDERS), len(one.fractions))
        assert np.ptp(one.accuracy[:, [0, -1]], axis=0).max() == 0  # nothing, and all removed


class Half(Gate):
    """Half a weight for the channel of an image's kind, one for the others."""

    @nn.compact
    def gate(self, x):
        return 1 - Marker().gate(x) / 2


class Product(Gate):
    """Both gates at once."""

    @nn.compact
    def gate(self, x):
        return marked(x) * (1 - marked(x) / 2)


class NotNested(Gate):
    """`Half` without a gate within its gate."""

    @nn.compact
    def gate(self, x):
        return 1 - marked(x) / 2


@pytest.mark.parametrize(("one", "same"), [(Half, NotNested), (partial(Chain, (Marker, NotNested)), Product)])
def test_the_outermost_gates_of_a_site_rank_multiplied(monkeypatch, one, same):
    monkeypatch.setattr(module, "STEPS", 4)
    kinds = np.arange(20) % 4
    results = [removal(*by_hand(attention), of_kinds(kinds), kinds)["block1"].accuracy for attention in (one, same)]
    np.testing.assert_array_equal(*results)
    assert len({*results[0][0]}) > 1


class OfNoImage(Gate):
    """A gate with fewer axes, for all images alike."""

    @nn.compact
    def gate(self, x):
        return self.param("weight", nn.initializers.uniform(), x.shape[-1:])

    @nn.compact
    def __call__(self, x):
        return x * self.gate(x)[None, None, None]


class Nested(Gate):
    """A gate by position that computes one by channel."""

    @nn.compact
    def gate(self, x):
        return nn.sigmoid((x * Marker().gate(x)).mean(axis=-1, keepdims=True))


@pytest.mark.parametrize(("module", "sites"), [(OfNoImage, ["block1"]), (Nested, [])])
def test_gates_of_any_rank_and_within_gates(module, sites):
    model, images = CNN(classes=4, widths=(4,), hidden=8, attention=module), split(4)
    assert list(removal(model, tiny.SPEC, drawn(model, 0, (8, 8, 3)), images.images, images.labels)) == sites


@pytest.mark.parametrize("name", ["shuffle", "se+shuffle"])
def test_a_module_that_puts_channels_in_another_order_has_no_curve(name):
    model, images = CNN(classes=4, widths=(4,), hidden=8, attention=resolve(name, 4)), split(4)
    assert removal(model, tiny.SPEC, drawn(model, 0, (8, 8, 3)), images.images, images.labels) == {}


class OneNumber(Gate):
    """A gate that weights all channels alike."""

    @nn.compact
    def gate(self, x):
        return nn.sigmoid(x.mean(axis=(1, 2, 3), keepdims=True))


class OfHalf(nn.Module):
    """A gate of half of the channels."""

    def gate(self, x):
        return nn.sigmoid(x[..., ::2].mean(axis=(1, 2), keepdims=True))

    def __call__(self, x):
        return x * jnp.repeat(self.gate(x), 2, axis=-1)


@pytest.mark.parametrize("module", [OneNumber, OfHalf])
def test_a_gate_that_has_no_weight_for_each_channel_ranks_none(module):
    model, images = CNN(classes=4, widths=(4,), hidden=8, attention=module), split(4)
    assert removal(model, tiny.SPEC, drawn(model, 0, (8, 8, 3)), images.images, images.labels) == {}


def test_of_many_sites_the_last_of_each_stage_are_shown(monkeypatch):
    monkeypatch.setattr(module, "MAX_SITES", 2)
    monkeypatch.setattr(module, "STEPS", 2)
    model, images = create("se", 4, (8, 8, 3), "resnet20", classes=4), split(4)
    found = removal(model, tiny.SPEC, drawn(model, 0, (8, 8, 3)), images.images, images.labels)
    assert list(found) == ["stage1_block3", "stage2_block3", "stage3_block3"]


def test_the_plot_shows_each_order_and_its_area():
    one = Removal(np.array([[1, 0.8, 0.2], [1, 0.2, 0.2], [1, 0.4, 0.2]]), np.array([0, 0.5, 1]), 500)
    (axes,) = plot.draw({"block1": one}, "run").axes
    assert [line.get_ydata().tolist() for line in axes.lines] == (100 * one.accuracy).tolist()
    title = axes.get_title(loc="left")
    assert title == "block1\nby weight: +20.0 over random\nby activation: -10.0 over random"
