"""Class activation maps, by value."""

import jax
import numpy as np
import pytest

from jaxattn import cam
from jaxattn.capture import capture
from jaxattn.model import CNN

IMAGES = np.random.default_rng(0).standard_normal((2, 8, 8, 3)).astype(np.float32)
TARGETS = np.array([2, 0], np.int32)


def test_maps_equal_their_equations():
    rng = np.random.default_rng(0)
    activations, gradients = rng.standard_normal((2, 2, 3, 4, 5)).astype(np.float32)
    grad, hires = np.zeros((2, 3, 4)), np.zeros((2, 3, 4))
    for b in range(2):
        for c in range(5):
            grad[b] += gradients[b, :, :, c].mean() * activations[b, :, :, c]
            hires[b] += gradients[b, :, :, c] * activations[b, :, :, c]
    np.testing.assert_allclose(cam.grad_cam(activations, gradients), np.maximum(grad, 0), atol=1e-6)
    np.testing.assert_allclose(cam.hires_cam(activations, gradients), np.maximum(hires, 0), atol=1e-6)


def test_gradients_at_a_layer_equal_finite_differences():
    """The last block's output goes through the dense layers only: those are run here, by NumPy, on shifted copies."""
    model = CNN(classes=3, widths=(4, 5), hidden=6)
    variables = jax.jit(model.init)(jax.random.key(0), IMAGES)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])

    def logits(block):
        hidden = np.maximum(block.reshape(len(block), -1) @ params["hidden"]["kernel"] + params["hidden"]["bias"], 0)
        return hidden @ params["head"]["kernel"] + params["head"]["bias"]

    activations, gradients = cam.layer_gradients(model, variables, IMAGES, TARGETS, ("block2",))["block2"]
    np.testing.assert_allclose(activations, capture(model, variables, IMAGES).layers["block2"], atol=1e-6)
    block = np.asarray(activations, np.float64)
    for place in ((0, 0, 0), (1, 1, 4), (0, 1, 2)):
        shift = np.zeros_like(block)
        shift[:, *place] = 1e-5
        slope = (logits(block + shift) - logits(block - shift)) / 2e-5
        np.testing.assert_allclose(gradients[:, *place], slope[[0, 1], TARGETS], atol=1e-5)


def test_grad_cam_equals_pytorchs_with_the_same_weights():
    torch = pytest.importorskip("torch")
    twins = pytest.importorskip("torch_twin")
    from jaxattn.attention import resolve

    model = CNN(attention=resolve("se"))
    images = np.random.default_rng(1).standard_normal((2, 32, 32, 3)).astype(np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images)
    twin, kept = twins.carry(variables, True).eval(), {}
    twin.conv3.register_forward_hook(lambda module, given, output: kept.update(conv3=output))
    logits = twin(torch.tensor(images).permute(0, 3, 1, 2))
    gradients = torch.autograd.grad(logits[[0, 1], TARGETS].sum(), kept["conv3"])[0]
    weighed = (gradients.mean(dim=(2, 3), keepdim=True) * kept["conv3"]).sum(dim=1).clamp(min=0)
    ours = cam.cams(model, variables, images, TARGETS, ("conv3",))["Grad-CAM"]["conv3"]
    theirs = weighed.detach().numpy()
    assert theirs.max() > 0
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * theirs.max())
