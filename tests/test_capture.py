"""What the network sees equals what its equations say, for every attention module, with the model left alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxattn.attention import ATTENTION, resolve
from jaxattn.capture import capture, layer_shapes
from jaxattn.model import CNN

IMAGES = np.random.default_rng(0).standard_normal((3, 8, 8, 3)).astype(np.float32)
NO_GATE = {"none", "gc", "mhsa", "mhsa-code", "nonlocal", "nonlocal-code"}


def make(name, widths=(4, 8)):
    model = CNN(classes=3, widths=widths, hidden=8, attention=resolve(name))
    return model, jax.jit(model.init)(jax.random.key(0), IMAGES)


def captured(name, **options):
    model, variables = make(name, **options)
    return jax.jit(lambda v, x: capture(model, v, x))(variables, IMAGES), model, variables


@pytest.mark.parametrize("name", ATTENTION)
def test_every_module_gives_its_layers_and_gates(name):
    model, variables = make(name, (4,))
    seen, logits = jax.jit(lambda v, x: (capture(model, v, x), model.apply(v, x)))(variables, IMAGES)
    assert seen.layers.keys() == {"conv1", "norm1", "block1"} | ({"attention1"} if name != "none" else set())
    assert bool(seen.gates) == (name not in NO_GATE)
    for values in seen.gates.values():
        assert values.shape[0] == len(IMAGES) and np.isfinite(values).all()
        np.broadcast_shapes(values.shape, seen.layers["attention1"].shape)
    np.testing.assert_allclose(seen.logits, logits, atol=1e-5)


def test_gate_of_squeeze_and_excitation_is_what_its_block_was_weighed_with():
    seen, _, variables = captured("se")
    inner = variables["params"]["block_2"]["attention"]
    x = np.maximum(seen.layers["norm2"], 0)
    hidden = np.maximum(x.mean(axis=(1, 2)) @ np.asarray(inner["squeeze"]["kernel"]), 0)
    gate = 1 / (1 + np.exp(-hidden @ np.asarray(inner["excite"]["kernel"])))
    np.testing.assert_allclose(seen.gates["block2"][:, 0, 0], gate, atol=1e-6)
    np.testing.assert_allclose(seen.layers["attention2"], x * gate[:, None, None], atol=1e-6)


def test_both_gates_of_cbam_are_captured_and_multiply_to_its_output():
    seen, _, _ = captured("cbam")
    gates = [values for name, values in seen.gates.items() if name.startswith("block1/")]
    assert sorted(values.shape for values in gates) == [(3, 1, 1, 4), (3, 8, 8, 1)]
    product = np.maximum(seen.layers["norm1"], 0) * np.asarray(gates[0]) * np.asarray(gates[1])
    np.testing.assert_allclose(seen.layers["attention1"], product, atol=1e-6)


def test_first_layer_is_the_convolution_of_the_images():
    seen, _, variables = captured("none")
    conv = variables["params"]["block_1"]["conv"]
    padded = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.einsum("nijc,ijco->no", padded[:, 2:5, 4:7], np.asarray(conv["kernel"])) + np.asarray(conv["bias"])
    np.testing.assert_allclose(seen.layers["conv1"][:, 2, 4], expected, atol=1e-5)


def test_look_of_self_attention_is_a_multiple_of_an_even_one():
    seen, _, _ = captured("mhsa")
    assert seen.attended["block1"].shape == (3, 8, 8)
    np.testing.assert_allclose(seen.attended["block1"].mean(axis=(1, 2)), 1, rtol=1e-5)


@pytest.mark.parametrize("widths", [(4,), (4, 4, 8)])
def test_layers_of_any_depth_are_listed_first_to_last(widths):
    model, variables = make("se", widths)
    shapes = layer_shapes(model, variables, (8, 8, 3))
    blocks = [name for name in shapes if name.startswith("block")]
    assert blocks == [f"block{i}" for i in range(1, len(widths) + 1)]
    assert shapes["conv1"] == (8, 8, 4) and shapes["block1"] == (4, 4, 4)
    assert jnp.prod(jnp.array(shapes[blocks[-1]][:2])) == (8 >> len(widths)) ** 2
