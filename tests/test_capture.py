"""Layers, gates and received attention, captured from a network of any attention."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from attention_runs import RANGES
from cnn_layers import layer
from flax import linen as nn

from jaxattn.attention import ATTENTION, Gate, resolve
from jaxattn.attention.cbam import ConvolutionalBlockAttention
from jaxattn.attention.chain import Chain
from jaxattn.explain import inference
from jaxattn.explain.capture import capture, layer_shapes
from jaxattn.networks import CNN, create
from jaxattn.runtime import QUICK_COMPILE

SHAPE = (3, 8, 12, 3)  # three images, not square
PLAIN = {layer("conv", 1), layer("norm", 1), layer("block", 1)}
SEVERAL = {  # the gates within a module's own, where it has any
    "cbam": ("/channel", "/spatial"),
    "cbam-code": ("/channel", "/spatial"),
    "coord": ("", "/height", "/width"),
    "coord-code": ("", "/height", "/width"),
    "ela": ("", "/height", "/width"),
    "triplet": ("", "/height_channel", "/height_width", "/width_channel"),
    **dict.fromkeys(("none", "gc", "mhsa", "mhsa-code", "nonlocal", "nonlocal-code"), ()),
}
SELF_ATTENTION = ("gc", "gc-scale", "mhsa", "mhsa-code", "nonlocal", "nonlocal-code")


@functools.cache
def images():
    return jnp.asarray(np.random.default_rng(0).normal(size=SHAPE), jnp.float32)


def network(attention, widths=(4, 8), **options):
    return CNN(classes=3, widths=widths, hidden=6, attention=attention, **options)


def drawn(model):
    """Variables drawn at random, so that no initial zero or one hides an error."""
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
    found = jax.jit(lambda values, x: capture(model, values, x), compiler_options=QUICK_COMPILE)(variables, images())
    return model, variables, jax.device_get(found)


every_module = pytest.mark.parametrize("name", ATTENTION)


@every_module
def test_layers_and_every_gate_of_a_module_are_captured(name):
    _, _, found = captured(name)
    assert found.layers.keys() == PLAIN | ({layer("attention", 1)} if name != "none" else set())
    assert found.gates.keys() == {layer("block", 1, path) for path in SEVERAL.get(name, ("",))}
    shape = found.layers[layer("norm", 1)].shape
    for gate in found.gates.values():
        assert gate.ndim == 4 and len(gate) == SHAPE[0]  # each image its own, also where all have the same
        assert np.broadcast_shapes(gate.shape, shape) == shape
        low, high = RANGES.get(name, (0, 1))
        assert gate.min() >= low and gate.max() <= high


@every_module
def test_attention_received_is_a_multiple_of_the_uniform_share(name):
    _, _, found = captured(name)
    assert bool(found.attention_received) == (name in SELF_ATTENTION)
    for received in found.attention_received.values():
        assert received.ndim == 3
        np.testing.assert_allclose(received.mean(axis=(1, 2)), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "name", [name for name, made in ATTENTION.items() if made and issubclass(getattr(made, "func", made), Gate)]
)
def test_the_captured_gate_is_the_factor_that_was_applied(name):
    _, _, found = captured(name)
    product = np.maximum(found.layers[layer("norm", 1)], 0) * found.gates[layer("block", 1)]
    np.testing.assert_allclose(product, found.layers[layer("attention", 1)], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["none", "cbam"])
def test_capturing_changes_no_logit(name):
    model, variables, found = captured(name)
    expected = jax.jit(model.apply, compiler_options=QUICK_COMPILE)(variables, images())
    np.testing.assert_allclose(found.logits, expected, rtol=1e-5, atol=1e-6)


def test_layers_equal_numpy():
    _, variables, found = captured("none")
    block, stats = variables["params"]["block_1"], variables["batch_stats"]["block_1"]["norm"]
    padded = np.pad(images(), ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [padded[:, i : i + 8, j : j + 12] @ block["conv"]["kernel"][i, j] for i in range(3) for j in range(3)]
    conv = sum(taps) + block["conv"]["bias"]
    norm = (conv - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * block["norm"]["scale"] + block["norm"]["bias"]
    pooled = np.maximum(norm, 0).reshape(3, 4, 2, 6, 2, 8).max(axis=(2, 4))
    for kind, expected in (("conv", conv), ("norm", norm), ("block", pooled)):
        np.testing.assert_allclose(found.layers[layer(kind, 1)], expected, rtol=1e-4, atol=1e-4)


def test_squeeze_and_excitation_gate_equals_numpy():
    _, variables, found = captured("se")
    kernels = variables["params"]["block_1"]["attention"]
    mean = np.maximum(found.layers[layer("norm", 1)], 0).mean(axis=(1, 2))
    logits = np.maximum(mean @ kernels["squeeze"]["kernel"], 0) @ kernels["excite"]["kernel"]
    np.testing.assert_allclose(found.gates[layer("block", 1)][:, 0, 0], 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_attention_received_in_global_context_equals_numpy():
    _, variables, found = captured("gc")
    x = np.maximum(found.layers[layer("norm", 1)], 0)
    powers = np.exp((x @ variables["params"]["block_1"]["attention"]["context"]["key"]["kernel"])[..., 0])
    expected = powers / powers.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found.attention_received[layer("block", 1, "/context")], expected, rtol=1e-4)


@pytest.mark.parametrize(("name", "grid"), [("mhsa", (8, 12)), ("nonlocal-code", (4, 6))])
def test_a_uniform_image_receives_uniform_attention_without_position_embeddings(name, grid):
    module = functools.partial(ATTENTION["mhsa"], positions=False) if name == "mhsa" else resolve(name)
    model = network(module, (8,))
    variables = drawn(model)
    variables["params"]["block_1"]["conv"]["kernel"][:] = 0  # else the border differs
    found = jax.jit(lambda values: capture(model, values, images()), compiler_options=QUICK_COMPILE)(variables)
    np.testing.assert_allclose(found.attention_received[layer("block", 1)], np.ones((3, *grid)), rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 30, 26, 3), (3, 33, 32, 3)])
@pytest.mark.parametrize(
    ("name", "attention"), [("resnet20", "mhsa"), ("airbench94", "nonlocal"), ("airbench94", "nonlocal-code")]
)
def test_attention_received_has_the_grid_of_the_map_in_any_network(name, attention, shape):
    model = create(attention, 16, shape[1:], name)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))
    found = jax.eval_shape(lambda values: capture(model, values, jnp.zeros(shape)), variables)
    _, height, width, _ = found.layers[max(found.layers)].shape
    received = found.attention_received[max(found.attention_received)]
    pooled = attention.endswith("code")
    assert received.shape == (3, height // 2, width // 2) if pooled else (3, height, width)


class Odd(nn.Module):
    """A scalar gate, used twice, and `attention_weights` that are not those of pairs."""

    def gate(self, x):
        return nn.sigmoid(jnp.mean(x))

    def attention_weights(self, x):
        return x[0, 0]

    @nn.compact
    def __call__(self, x):
        self.attention_weights(x)
        return x * self.gate(x) * self.gate(2 * x)


@pytest.mark.parametrize(
    ("module", "paths"),
    [
        (Odd, ("#1", "#2")),
        (
            functools.partial(Chain, (Odd, ConvolutionalBlockAttention)),
            ("/part_1#1", "/part_1#2", "/part_2/channel", "/part_2/spatial"),
        ),
    ],
)
def test_gates_of_ones_own_modules_and_of_chains_have_a_name_each(module, paths):
    model = network(module)
    shapes = jax.eval_shape(lambda: capture(model, drawn(model), images()))
    assert shapes.gates.keys() == {layer("block", i, path) for i in (1, 2) for path in paths}
    assert all(gate.shape[0] == 3 and len(gate.shape) == 4 for gate in shapes.gates.values())
    assert not shapes.attention_received


class Windows(nn.Module):
    """Attention weights of four windows of each image, or of positions alone."""

    windows: int = 4

    def attention_weights(self, x, count):
        return jnp.ones((count, 1, 24, 24)) / 24

    @nn.compact
    def __call__(self, x):
        self.attention_weights(x, self.windows * len(x) if self.windows else 1)
        return x


@pytest.mark.parametrize("windows", [4, 0])
def test_weights_that_are_not_of_whole_images_are_not_shown_as_such(windows):
    model = network(functools.partial(Windows, windows=windows))
    assert not jax.eval_shape(lambda: capture(model, drawn(model), images())).attention_received


class Both(nn.Module):
    """A gate of two arrays: by channel and by position."""

    def gate(self, x):
        return nn.sigmoid(x.mean(axis=(1, 2), keepdims=True)), nn.sigmoid(x.mean(axis=3, keepdims=True))

    @nn.compact
    def __call__(self, x):
        channels, positions = self.gate(x)
        return x * channels * positions


def test_each_array_of_a_gate_is_captured():
    model = network(Both)
    gates = jax.eval_shape(lambda: capture(model, drawn(model), images()).gates)
    assert {str(name): gate.shape[3] > 1 for name, gate in gates.items()} == {
        f"block{i}#{part}": part == 1 for i in (1, 2) for part in (1, 2)
    }


@pytest.mark.parametrize("options", [{"attention_at": (2,)}, {"attention_position": "after"}])
def test_attention_is_captured_in_any_block_and_position(options):
    model = network(resolve("se+nonlocal"), **options)
    shapes = jax.eval_shape(lambda: capture(model, drawn(model), images()))
    blocks = options.get("attention_at", (1, 2))
    assert shapes.gates.keys() == {layer("block", i, "/part_1") for i in blocks}
    height = 2 if "attention_position" in options else 4
    assert shapes.attention_received[layer("block", 2, "/part_2")].shape == (3, height, height * 3 // 2)


@pytest.mark.parametrize("widths", [(4,), (4, 4, 8, 8)])
def test_layers_of_any_depth_are_listed_first_to_last(widths):
    model = CNN(classes=3, widths=widths, hidden=4, attention=resolve("ge"))
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    shapes = layer_shapes(model, variables, (16, 16, 3))
    order = [layer(kind, i) for i in range(1, len(widths) + 1) for kind in ("conv", "norm", "attention", "block")]
    assert list(shapes) == order
    assert shapes[layer("block", len(widths))] == (16 >> len(widths), 16 >> len(widths), widths[-1])


def test_layers_sort_by_block_then_by_their_order_within_it():
    layers = [
        layer("conv", 2), layer("norm", 2), layer("attention", 2), layer("block", 2), layer("block", 2, "/part_1"),
        layer("conv", 10), layer("block", 10),
    ]  # fmt: skip
    assert sorted(layers[::-1]) == layers
    names = ["conv2", "norm2", "attention2", "block2", "block2/part_1", "conv10", "block10"]
    assert [str(one) for one in layers] == names


@pytest.mark.parametrize("name", ["mhsa", "nonlocal", "nonlocal-code"])
def test_attention_received_on_a_map_of_one_position_is_one(name):
    model = network(resolve(name), (4,), attention_position="after")  # after the pool, 2x2 images are 1x1
    x = images()[:, :2, :2]
    shapes = jax.eval_shape(model.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1), shapes)
    found = jax.jit(lambda values, x: capture(model, values, x), compiler_options=QUICK_COMPILE)(variables, x)
    np.testing.assert_array_equal(found.attention_received[layer("block", 1)], np.ones((3, 1, 1)))


def test_gates_by_channel_are_those_of_several_channels_or_of_one_position():
    pictures = np.random.default_rng(0).integers(0, 256, (3, *SHAPE[1:]), np.uint8)
    shapes = {}
    for name, widths in (("cbam", (2,)), ("simam", (2,)), ("se", (1,))):
        model = network(resolve(name, 1), widths)
        spec = dataclasses.replace(tiny.SPEC, image_shape=SHAPE[1:])
        predicted = inference.predict(model, spec, drawn(model), pictures)
        shapes[name] = {str(one): gate.shape for one, gate in predicted.gates_by_channel.items()}
    assert shapes == {"cbam": {"block1/channel": (3, 2)}, "simam": {"block1": (3, 2)}, "se": {"block1": (3, 1)}}
