"""Layers, gates and what self-attention looks at, captured from a network of any attention."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxattn.attention import ATTENTION, Gate, resolve
from jaxattn.attention.cbam import ConvolutionalBlockAttention
from jaxattn.attention.chain import Chain
from jaxattn.capture import capture, in_order, layer_shapes
from jaxattn.model import CNN

SHAPE = (3, 8, 12, 3)  # three images, not square
QUICKLY = {"xla_backend_optimization_level": 0}  # compiled in half the time
SEVERAL = {  # the gates within a module's own, where it has any
    "cbam": ("/channel", "/spatial"),
    "cbam-code": ("/channel", "/spatial"),
    "coord": ("", "/height", "/width"),
    "coord-code": ("", "/height", "/width"),
    "triplet": ("", "/height_channel", "/height_width", "/width_channel"),
    **dict.fromkeys(("none", "gc", "mhsa", "mhsa-code", "nonlocal", "nonlocal-code"), ()),
}
LOOKING = ("gc", "gc-scale", "mhsa", "mhsa-code", "nonlocal", "nonlocal-code")


@functools.cache
def images():
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def network(attention, widths=(4, 8), **options):
    return CNN(classes=3, widths=widths, hidden=6, attention=attention, **options)


def drawn(model):
    """Variables drawn at random, so that nothing hides behind a zero or a one it starts at."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), images())
    random = np.random.default_rng(1)

    def draw(path, leaf):
        positive = path[-1].key == "var"
        values = random.uniform(0.5, 2, leaf.shape) if positive else random.normal(0, 0.5, leaf.shape)
        return values.astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


@functools.cache
def captured(name):
    """A network of one block, its variables, and what one jitted call captures."""
    model = network(resolve(name, 4), (8,))
    variables = drawn(model)
    seen = jax.jit(lambda values, x: capture(model, values, x), compiler_options=QUICKLY)(variables, images())
    return model, variables, jax.device_get(seen)


every_module = pytest.mark.parametrize("name", ATTENTION)


@every_module
def test_every_module_gives_its_layers_and_each_of_its_gates(name):
    _, _, found = captured(name)
    assert found.layers.keys() == {"conv1", "norm1", "block1", *(["attention1"] if name != "none" else [])}
    assert found.gates.keys() == {f"block1{part}" for part in SEVERAL.get(name, ("",))}
    for gate in found.gates.values():
        assert gate.ndim == 4 and len(gate) == SHAPE[0]  # each image its own, also where all have the same
        assert np.broadcast_shapes(gate.shape, found.layers["norm1"].shape) == found.layers["norm1"].shape
        assert gate.min() >= 0 and gate.max() <= 1


@every_module
def test_what_is_looked_at_is_a_multiple_of_an_even_look(name):
    _, _, found = captured(name)
    assert bool(found.attended) == (name in LOOKING)
    for places in found.attended.values():
        assert places.ndim == 3
        np.testing.assert_allclose(places.mean(axis=(1, 2)), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "name", [name for name, made in ATTENTION.items() if made and issubclass(getattr(made, "func", made), Gate)]
)
def test_the_captured_gate_is_the_one_that_weighed(name):
    _, _, found = captured(name)
    given = np.maximum(found.layers["norm1"], 0) * found.gates["block1"]
    np.testing.assert_allclose(given, found.layers["attention1"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["none", "cbam"])
def test_capturing_changes_no_logit(name):
    model, variables, found = captured(name)
    expected = jax.jit(model.apply, compiler_options=QUICKLY)(variables, images())
    np.testing.assert_allclose(found.logits, expected, rtol=1e-5, atol=1e-6)


def test_layers_equal_numpy():
    _, variables, found = captured("none")
    block, stats = variables["params"]["block_1"], variables["batch_stats"]["block_1"]["norm"]
    padded = np.pad(images(), ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [padded[:, i : i + 8, j : j + 12] @ block["conv"]["kernel"][i, j] for i in range(3) for j in range(3)]
    conv = sum(taps) + block["conv"]["bias"]
    norm = (conv - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * block["norm"]["scale"] + block["norm"]["bias"]
    pooled = np.maximum(norm, 0).reshape(3, 4, 2, 6, 2, 8).max(axis=(2, 4))
    for layer, expected in (("conv1", conv), ("norm1", norm), ("block1", pooled)):
        np.testing.assert_allclose(found.layers[layer], expected, rtol=1e-4, atol=1e-4)


def test_squeeze_and_excitation_gate_equals_numpy():
    _, variables, found = captured("se")
    kernels = variables["params"]["block_1"]["attention"]
    mean = np.maximum(found.layers["norm1"], 0).mean(axis=(1, 2))
    logits = np.maximum(mean @ kernels["squeeze"]["kernel"], 0) @ kernels["excite"]["kernel"]
    np.testing.assert_allclose(found.gates["block1"][:, 0, 0], 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_what_global_context_looks_at_equals_numpy():
    _, variables, found = captured("gc")
    x = np.maximum(found.layers["norm1"], 0)
    powers = np.exp((x @ variables["params"]["block_1"]["attention"]["context"]["key"]["kernel"])[..., 0])
    expected = powers / powers.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found.attended["block1/context"], expected, rtol=1e-4)


@pytest.mark.parametrize(("name", "grid"), [("mhsa", (8, 12)), ("nonlocal-code", (4, 6))])
def test_an_even_picture_is_looked_at_evenly_where_places_have_no_position(name, grid):
    module = functools.partial(ATTENTION["mhsa"], positions=False) if name == "mhsa" else resolve(name)
    model = network(module, (8,))
    variables = drawn(model)
    variables["params"]["block_1"]["conv"]["kernel"][:] = 0  # else the border differs
    found = jax.jit(lambda values: capture(model, values, images()), compiler_options=QUICKLY)(variables)
    np.testing.assert_allclose(found.attended["block1"], np.ones((3, *grid)), rtol=1e-5)


class Odd(nn.Module):
    """A scalar gate, used twice, and a `weights` that is no self-attention."""

    def gate(self, x):
        return nn.sigmoid(jnp.mean(x))

    def weights(self, x):
        return x[0, 0]

    @nn.compact
    def __call__(self, x):
        self.weights(x)
        return x * self.gate(x) * self.gate(2 * x)


@pytest.mark.parametrize(
    ("module", "gates"),
    [
        (Odd, {"block1#1", "block1#2", "block2#1", "block2#2"}),
        (
            functools.partial(Chain, (Odd, ConvolutionalBlockAttention)),
            {
                f"block{i}/{part}"
                for i in (1, 2)
                for part in ("part_1#1", "part_1#2", "part_2/channel", "part_2/spatial")
            },
        ),
    ],
)
def test_modules_of_ones_own_and_chains_name_each_gate(module, gates):
    model = network(module)
    shapes = jax.eval_shape(lambda: capture(model, drawn(model), images()))
    assert shapes.gates.keys() == gates
    assert all(gate.shape[0] == 3 and len(gate.shape) == 4 for gate in shapes.gates.values())
    assert not shapes.attended


@pytest.mark.parametrize("options", [{"attention_at": (2,)}, {"attention_position": "after"}])
def test_attention_is_found_wherever_it_stands(options):
    model = network(resolve("se+nonlocal"), **options)
    shapes = jax.eval_shape(lambda: capture(model, drawn(model), images()))
    blocks = options.get("attention_at", (1, 2))
    assert shapes.gates.keys() == {f"block{i}/part_1" for i in blocks}
    height = 2 if "attention_position" in options else 4
    assert shapes.attended["block2/part_2"].shape == (3, height, height * 3 // 2)


@pytest.mark.parametrize("widths", [(4,), (4, 4, 8, 8)])
def test_layers_of_any_depth_are_listed_first_to_last(widths):
    model = CNN(classes=3, widths=widths, hidden=4, attention=resolve("ge"))
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    shapes = layer_shapes(model, variables, (16, 16, 3))
    order = [f"{kind}{i}" for i in range(1, len(widths) + 1) for kind in ("conv", "norm", "attention", "block")]
    assert list(shapes) == order
    assert shapes[f"block{len(widths)}"] == (16 >> len(widths), 16 >> len(widths), widths[-1])


def test_order_is_by_number_not_by_letter():
    names = ["block10", "block2/part_1", "conv10", "block2", "conv2", "attention2"]
    assert sorted(names, key=in_order) == ["conv2", "attention2", "block2", "block2/part_1", "conv10", "block10"]
