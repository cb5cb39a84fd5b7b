"""What holds for every network, of this package or not: what it declares is what it computes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxattn.attention import ATTENTION, Gate, resolve
from jaxattn.attention.cost import parameters
from jaxattn.errors import InputError
from jaxattn.explain.capture import capture, mapped_layers
from jaxattn.networks import create
from jaxattn.networks.network import Group, Network, Site, site_shapes
from jaxattn.networks.placement import Placement, sites_from, usual_sites
from jaxattn.networks.resnet import BasicBlock, ResNet
from jaxattn.networks.wide_resnet import PreActivationBlock, WideResNet
from jaxattn.runtime import QUICK_COMPILE

SHAPE = (32, 32, 3)
NAMES = (
    "cnn",
    "resnet20",
    "resnet20b",
    "resnet18",
    "wrn-10-1",
    "wrn-16-4",
    "airbench94",
    "own_network:Net",
)  # others are deeper
every_network = pytest.mark.parametrize("name", NAMES)
SMALL = {  # one of each kind, with each kind of block
    "resnet": functools.partial(ResNet, widths=(4, 8), blocks=(1, 1)),
    "projection": functools.partial(ResNet, widths=(4, 8), blocks=(1, 1), projection=True),
    "wide": functools.partial(WideResNet, widths=(16, 20, 24), blocks=(1, 1, 1)),
}


class Doubled(Gate):
    """Attention that doubles its input, and keeps a parameter."""

    @nn.compact
    def gate(self, x):
        return self.param("two", lambda key: jnp.full(x.shape[-1:], 2.0))[None, None, None, :]


@functools.cache
def network(name, attention="se", **options):
    return create(attention, 4, SHAPE, name, **options)


@functools.cache
def shapes_of(model, shape=SHAPE):
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *shape)))


def drawn(model, shape=SHAPE):
    return jax.jit(model.init, compiler_options=QUICK_COMPILE)(jax.random.key(0), jnp.zeros((1, *shape)))


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [
        ("cnn", 10, 1_147_914), ("resnet20", 10, 269_722), ("resnet32", 10, 464_154), ("resnet56", 10, 853_018),
        ("resnet110", 10, 1_727_962), ("resnet20", 100, 275_572), ("resnet20b", 10, 272_474),
        ("resnet18", 10, 11_173_962), ("wrn-16-4", 10, 2_748_890), ("wrn-28-10", 10, 36_479_194),
        ("airbench94", 10, 1_971_640),
    ],
)  # fmt: skip
def test_parameters_are_as_many_as_papers_and_public_implementations_have(name, classes, count):
    assert parameters(shapes_of(create("none", 16, SHAPE, name, classes=classes))["params"]) == count


@every_network
def test_attention_stands_at_the_declared_sites_and_nowhere_else(name):
    model = network(name)
    sites = model.sites()
    assert len({site.name for site in sites}) == len({site.path for site in sites}) == len(sites)
    assert sorted(site.stage for site in sites) == [site.stage for site in sites] and sites[0].stage == 1
    with_se, without = (flatten_dict(shapes_of(one)["params"]) for one in (model, model.clone(attention=None)))
    found = {
        path[: next(n for n in range(9) if path[:n] in {s.path for s in sites})] for path in with_se.keys() - without
    }
    assert found == {site.path for site in sites} and without.keys() <= with_se.keys()
    for path in without:
        assert with_se[path].shape == without[path].shape


@every_network
def test_shapes_of_sites_are_those_of_what_attention_multiplies(name):
    model = network(name)
    shapes = site_shapes(model, SHAPE)
    captured = jax.eval_shape(lambda values, x: capture(model, values, x), shapes_of(model), jnp.zeros((2, *SHAPE)))
    assert [gate.shape[3] for gate in captured.gates.values()] == [channels for _, _, channels in shapes]
    assert [str(gate) for gate in captured.gates] == [site.name for site in model.sites()]
    halved = [height for height, _, _ in shapes]
    assert halved == sorted(halved, reverse=True)


@every_network
def test_every_declared_layer_is_captured_in_order(name):
    model = network(name)
    captured = jax.eval_shape(lambda values, x: capture(model, values, x), shapes_of(model), jnp.zeros((2, *SHAPE)))
    assert [str(layer) for layer in sorted(captured.layers)] == [place.name for place in model.layers()]
    assert len({place.name for place in model.layers()}) == len({place.path for place in model.layers()})
    assert all(layer.ndim == 4 for layer in captured.layers.values())
    assert mapped_layers(model) and set(mapped_layers(model)) <= captured.layers.keys()


@every_network
def test_every_parameter_is_in_one_group_that_fits_it(name):
    model = network(name, "cbam")
    params = shapes_of(model)["params"]
    groups, leaves = flatten_dict(model.groups(params)), flatten_dict(params)
    assert groups.keys() == leaves.keys() and set(groups.values()) <= set(Group)
    members = {group: [path for path in groups if groups[path] == group] for group in Group}
    assert len(members[Group.FIRST]) == len(members[Group.HEAD]) == 1
    assert leaves[members[Group.FIRST][0]].shape[2] == 3 and leaves[members[Group.HEAD][0]].shape[1] == 10
    assert {path for path in groups if "attention" in path} == set(members[Group.ATTENTION])
    assert len(members[Group.NORM_BIAS]) > 0 and len(members[Group.NORM_SCALE]) in (0, len(members[Group.NORM_BIAS]))
    for group, axes in ((Group.CONVOLUTION, 4), (Group.HIDDEN, 2), (Group.BIAS, 1), (Group.NORM_SCALE, 1)):
        assert all(leaves[path].ndim == axes for path in members[group])


@every_network
def test_the_wide_control_has_at_least_the_parameters_and_no_attention(name):
    wanted = parameters(shapes_of(network(name, "cbam"))["params"])
    wide = network(name, "wide:cbam")
    *first, last = wide.widths
    assert wide.attention is None and parameters(shapes_of(wide)["params"]) >= wanted
    narrower = wide.clone(widths=(*first, last - 1))
    assert parameters(shapes_of(narrower)["params"]) < wanted


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("position", ResNet.positions)
def test_attention_acts_at_each_position(kind, position):
    model = SMALL[kind](attention=Doubled, attention_position=position, attention_at=(2,))
    plain = SMALL[kind]()
    variables, images = drawn(model, (8, 8, 3)), jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 8, 3)), "f4")
    captured, without = capture(model, variables, images), capture(plain, drawn(plain, (8, 8, 3)), images)
    name = model.sites()[1].name
    (gate,) = captured.gates
    assert str(gate) == name
    assert not np.allclose(captured.logits, without.logits)
    assert ("conv2" in variables["params"][name]) == (position != "conv2")
    outputs = {str(layer): value for layer, value in captured.layers.items()}
    before = {str(layer): value for layer, value in without.layers.items()}
    first = model.sites()[0].name
    np.testing.assert_array_equal(outputs[first], before[first])  # what stands before the site is as it was
    if position == "post":
        np.testing.assert_allclose(outputs[name], 2 * before[name], rtol=1e-5)
    if position == "residual":
        branch = {"wide": "conv2"}.get(kind, "norm2")
        np.testing.assert_allclose(outputs[f"{name}_attention"], 2 * before[f"{name}_{branch}"], rtol=1e-5)


@pytest.mark.parametrize("block", [BasicBlock, PreActivationBlock])
@pytest.mark.parametrize("name", [name for name in ATTENTION if name != "none"])
def test_every_module_fits_every_position_of_a_block_that_changes_the_shape(block, name):
    x = jax.ShapeDtypeStruct((2, 8, 6, 4), jnp.float32)
    for position in ResNet.positions:
        module = block(8, stride=2, attention=resolve(name), position=position)
        variables = jax.eval_shape(module.init, jax.random.key(0), x)
        y, _ = jax.eval_shape(lambda v, x, m=module: m.apply(v, x, train=True, mutable=["batch_stats"]), variables, x)
        assert y.shape == (2, 4, 3, 8)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,3", (1, 3)), ("2-4", (2, 3, 4)), ("last", (9,)), ("stage3", (7, 8, 9)), ("ends", (3, 6, 9)),
        ("stage2_block1, 1", (1, 4)), ("all", tuple(range(1, 10))), ("3,1,1-2", (1, 2, 3)),
    ],
)  # fmt: skip
def test_sites_are_named_by_number_range_name_and_stage(text, numbers):
    assert sites_from(text, network("resnet20").sites()) == numbers


@pytest.mark.parametrize(
    "text", ["", "0", "10", "2-1", "0-2", "8-10", "stage4", "block1", "1;2", "-", "1-", "²", "1,,2"]
)
def test_unknown_sites_are_one_line_that_lists_the_known(text):
    with pytest.raises(InputError, match=r"attention_at must be sites from 1 to 9, .*stage3.*got") as caught:
        network("resnet20", placement=Placement(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("attention", "sites", "position"),
    [
        ("se", tuple(range(1, 10)), "residual"),
        ("bam", (3, 6), "post"),
        ("bam-code", (3, 6), "post"),
        ("sk", tuple(range(1, 10)), "conv2"),
        ("mhsa", (7, 8, 9), "conv2"),
        ("nonlocal", (7, 8, 9), "post"),
    ],
)
def test_modules_stand_where_their_papers_have_them(attention, sites, position):
    model = network("resnet20", attention)
    assert (model.attention_at, model.position) == (sites, position)
    assert network("cnn", attention).attention_at == network("airbench94", attention).attention_at == (1, 2, 3)
    assert network("cnn", attention).position == "before"


def test_with_one_stage_the_end_is_where_a_map_would_become_smaller():
    sites = [Site(name, (name,), 1) for name in ("one", "two")]
    assert usual_sites(sites, "bottlenecks") == (2,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "resnet21"}, "unknown network 'resnet21'; known are cnn, resnet20, "),
        ({"network": "wrn-17-4"}, "unknown network 'wrn-17-4'"),
        ({"network": "own_network:Nothing"}, "cannot import network 'own_network:Nothing': AttributeError"),
        (
            {"network": "own_network:nn"},
            "network 'own_network:nn' must be a class that extends jaxattn.networks",
        ),
        ({"network": "jaxattn.networks.network:Network"}, "is the base class of networks; name one that extends it"),
        (
            {"network": "resnet20", "placement": Placement(position="before")},
            "must be residual, pre, .* got 'before'",
        ),
        (
            {"network": "cnn", "placement": Placement(position="pre")},
            "attention_position must be before, after in the network cnn",
        ),
        ({"network": "resnet20", "dropout": 0.1}, "dropout must be 0 with the network resnet20, which has none"),
    ],
)
def test_what_does_not_fit_a_network_is_one_line(options, message):
    with pytest.raises(InputError, match=message) as caught:
        create("se", 16, SHAPE, **options)
    assert "\n" not in str(caught.value)


@functools.cache
def trained(name, shape):
    """A network without attention: its variables, images, and what it gives for them."""
    plain = network(name, "none")
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, *shape)), jnp.float32)
    variables = drawn(plain, shape)
    return variables, images, jax.jit(plain.apply, compiler_options=QUICK_COMPILE)(variables, images)


def continued(model, variables, images):
    """What is captured of a network that takes over the variables that it knows and draws the others."""

    def run(variables, images):
        flat, known = flatten_dict(model.init(jax.random.key(0), images[:1])), flatten_dict(variables)
        return capture(model, unflatten_dict({path: known.get(path, leaf) for path, leaf in flat.items()}), images)

    return jax.jit(run, compiler_options=QUICK_COMPILE)(variables, images)


@pytest.mark.parametrize(
    ("name", "attention"),
    [
        ("cnn", "se"), ("cnn", "cbam"), ("cnn", "sk"), ("cnn", "se+spatial"), ("resnet20", "se"), ("resnet20", "sk"),
        ("resnet20", "mhsa"), ("resnet20b", "bam"), ("wrn-10-1", "se"), ("wrn-10-1", "sk"),
        ("own_network:Net", "coord"), ("own_network:Net", "gct"),
    ],
)  # fmt: skip
def test_attention_that_begins_as_the_identity_leaves_a_trained_network_as_it_was(name, attention):
    variables, images, expected = trained(name, (16, 16, 3))
    model, usual = network(name, attention, placement=Placement(start="identity")), network(name, attention)
    found = continued(model, variables, images)
    np.testing.assert_allclose(found.logits, expected, atol=1e-3)
    assert attention == "gct" or not np.allclose(continued(usual, variables, images).logits, expected, atol=1e-3)
    if attention in ("se", "cbam", "coord", "gct"):
        gates = found.gates
        np.testing.assert_array_equal([gates[layer].mean() for layer in gates if "/" not in str(layer)], 1)


def test_a_network_that_declares_nothing_says_so():
    with pytest.raises(NotImplementedError):
        Network().sites()


@pytest.mark.parametrize("name", [name for name in NAMES if "res" in name or "wrn" in name])
def test_residual_networks_take_images_of_any_size(name):
    model = network(name, "none")
    variables = shapes_of(model)
    for height, width in ((1, 1), (9, 30), (64, 64)):
        images = jax.ShapeDtypeStruct((2, height, width, 3), jnp.float32)
        assert jax.eval_shape(model.apply, variables, images).shape == (2, 10)


@pytest.mark.parametrize("kind", SMALL)
def test_integers_are_no_images(kind):
    with pytest.raises(InputError, match="images must be normalised floating-point numbers, got uint8"):
        SMALL[kind]().init(jax.random.key(0), jnp.zeros((1, 8, 8, 3), jnp.uint8))
