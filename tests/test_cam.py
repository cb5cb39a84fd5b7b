"""Class activation maps against gradients worked out by hand and by PyTorch."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from attention_runs import KINDS
from cnn_layers import layer
from test_capture import SHAPE, drawn, images, network

from jaxattn.attention import resolve
from jaxattn.explain.cam import CAMS, explain, grad_cam, hires_cam, layer_cam, layer_gradients
from jaxattn.networks import CNN
from jaxattn.types import MapKind

TARGETS = jnp.array([0, 2, 1], jnp.int32)
BLOCK, CONV, NORM = layer("block", 1), layer("conv", 1), layer("norm", 1)


def by_hand(variables, x, targets):
    """Activations of block1 and conv1 of a plain net of one block, and the gradients of the targets' logits by them."""
    params, stats = variables["params"], variables["batch_stats"]["block_1"]["norm"]
    block, hidden, head = params["block_1"], params["hidden"], params["head"]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    taps = [
        padded[:, i : i + height, j : j + width] @ block["conv"]["kernel"][i, j] for i in range(3) for j in range(3)
    ]
    conv = sum(taps) + block["conv"]["bias"]
    slope = block["norm"]["scale"] / np.sqrt(stats["var"] + 1e-5)
    norm = (conv - stats["mean"]) * slope + block["norm"]["bias"]
    windows = np.maximum(norm, 0).reshape(len(x), height // 2, 2, width // 2, 2, -1)
    pooled = windows.max(axis=(2, 4), keepdims=True)
    flat = pooled.reshape(len(x), -1)
    active = flat @ hidden["kernel"] + hidden["bias"] > 0
    by_pooled = ((active * head["kernel"].T[targets]) @ hidden["kernel"].T).reshape(pooled.shape)
    by_norm = ((windows == pooled) * by_pooled).reshape(norm.shape) * (norm > 0)
    squeezed = pooled.shape[0], pooled.shape[1], pooled.shape[3], pooled.shape[5]
    return {BLOCK: (pooled.reshape(squeezed), by_pooled.reshape(squeezed)), CONV: (conv, by_norm * slope)}


@functools.cache
def plain():
    """A net of one block, and its compiled `(images, targets) -> (captured, gradients, maps)`."""
    model = network(None, (8,))
    variables = drawn(model)

    def run(x, targets):
        captured, gradients = layer_gradients(model, variables, x, targets, (BLOCK, CONV))
        return captured, gradients, explain(model, variables, x, targets, (BLOCK, CONV))[1]

    return variables, jax.jit(run)


def test_maps_of_a_small_net_equal_numpy():
    variables, run = plain()
    captured, found, maps = run(images(), TARGETS)
    for name, (activations, gradients) in by_hand(variables, np.asarray(images()), np.asarray(TARGETS)).items():
        np.testing.assert_allclose(captured.layers[name], activations, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[name], gradients, rtol=1e-4, atol=1e-5)
        weights = gradients.mean(axis=(1, 2), keepdims=True)
        expected = {
            MapKind.GRAD_CAM: np.maximum((weights * activations).sum(axis=3), 0),
            MapKind.HIRES_CAM: np.maximum((gradients * activations).sum(axis=3), 0),
            MapKind.LAYER_CAM: np.maximum((np.maximum(gradients, 0) * activations).sum(axis=3), 0),
        }
        assert all((one > 0).any() for one in expected.values())
        for kind, one in expected.items():
            np.testing.assert_allclose(maps[kind][name], one, rtol=1e-3, atol=1e-4)


def test_a_negative_target_is_the_predicted_class():
    _, run = plain()
    captured, *expected = run(images(), np.full(3, -1, np.int32))
    predicted = np.asarray(captured.logits).argmax(axis=1).astype(np.int32)
    assert (predicted != TARGETS).any()
    _, *found = run(images(), predicted)
    chex.assert_trees_all_equal(found, expected)


def test_an_image_has_the_same_maps_in_any_batch():
    _, run = plain()
    backwards = run(images()[::-1], TARGETS[::-1])[2]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b[::-1], rtol=1e-5, atol=1e-6), run(images(), TARGETS)[2], backwards
    )


def test_formulas_by_hand():
    activations = jnp.array([[[[1.0, 2.0]], [[3.0, -4.0]]]])  # [1, 2, 1, 2]
    gradients = jnp.array([[[[1.0, 0.0]], [[3.0, 2.0]]]])  # means 2 and 1
    np.testing.assert_array_equal(grad_cam(activations, gradients), [[[4.0], [2.0]]])
    np.testing.assert_array_equal(hires_cam(activations, gradients), [[[1.0], [1.0]]])
    np.testing.assert_array_equal(grad_cam(activations, -gradients), np.zeros((1, 2, 1)))
    signed = jnp.array([[[[1.0, -1.0]], [[-3.0, -2.0]]]])  # only the first of four is positive
    np.testing.assert_array_equal(layer_cam(activations, signed), [[[1.0], [0.0]]])
    np.testing.assert_array_equal(hires_cam(activations, signed), [[[0.0], [0.0]]])


def drawn_maps(positions, positive=False):
    """Random activations, and gradients that vary over positions or not; the maps of each kind."""
    random = np.random.default_rng(0)
    activations = random.normal(size=(2, 4, 5, 6))
    gradients = random.normal(size=(2, *positions, 6))
    gradients = np.broadcast_to(np.abs(gradients) if positive else gradients, activations.shape)
    return {kind: method(jnp.asarray(activations), jnp.asarray(gradients)) for kind, method in CAMS.items()}


def test_where_gradients_are_uniform_grad_cam_is_hires_cam():
    maps = drawn_maps((1, 1))
    np.testing.assert_allclose(maps[MapKind.GRAD_CAM], maps[MapKind.HIRES_CAM], rtol=1e-4, atol=1e-5)
    assert np.abs(maps[MapKind.LAYER_CAM] - maps[MapKind.HIRES_CAM]).max() > 0.1


def test_where_no_gradient_is_negative_layer_cam_is_hires_cam():
    maps = drawn_maps((4, 5), positive=True)
    np.testing.assert_array_equal(maps[MapKind.LAYER_CAM], maps[MapKind.HIRES_CAM])


@pytest.mark.parametrize("name", ["none", *KINDS])
def test_every_kind_of_attention_has_maps_at_every_layer(name):
    model = network(resolve(name, 4), (8,))
    layers = (CONV, NORM, BLOCK, *([layer("attention", 1)] if name != "none" else []))
    variables = jax.eval_shape(model.init, jax.random.key(0), images())
    _, shapes = jax.eval_shape(lambda values: explain(model, values, images(), TARGETS, layers), variables)
    for maps in shapes.values():
        for place, found in maps.items():
            height, width = (size // 2 if place == BLOCK else size for size in SHAPE[1:3])
            assert found.shape == (SHAPE[0], height, width)


def test_maps_equal_pytorchs():
    """With channel attention, at all three convolutions of the full network and weights carried over."""
    torch = pytest.importorskip("torch")
    twins = pytest.importorskip("torch_twin")
    model = CNN(attention=resolve("se"))
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    colours = np.random.default_rng(0).uniform(-2, 2, (2, 1, 1, 3))  # pure noise would make all images alike
    x = (np.random.default_rng(1).normal(size=(2, 32, 32, 3)) * colours).astype(np.float32)
    targets, layers = np.array([3, 7], np.int32), tuple(layer("conv", i) for i in (1, 2, 3))
    _, ours = jax.jit(lambda values, x, targets: explain(model, values, x, targets, layers))(variables, x, targets)

    twin, kept = twins.load(variables, attention=True).eval(), {}

    def keep(name):
        return lambda module, inputs, output: kept.setdefault(name, output).retain_grad()

    for name in layers:
        getattr(twin, str(name)).register_forward_hook(keep(name))
    twin(torch.tensor(x).permute(0, 3, 1, 2))[[0, 1], targets.tolist()].sum().backward()
    for name, activations in kept.items():
        weights = activations.grad.mean(dim=(2, 3), keepdim=True)
        factors = weights, activations.grad, activations.grad.relu()
        for kind, factor in zip(CAMS, factors, strict=True):
            theirs = (factor * activations).sum(dim=1).relu().detach().numpy()
            assert theirs.max() > 0
            # a float32 sum that rounds to the other side of a ReLU or a pool's tie moves single positions a little
            np.testing.assert_allclose(ours[kind][name], theirs, rtol=1e-3, atol=1e-3 * theirs.max())
