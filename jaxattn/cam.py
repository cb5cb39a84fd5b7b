"""Class activation maps: where in a layer the evidence for a class lies."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn.capture import capture, layer_of
from jaxattn.model import CNN


def grad_cam(activations: jax.Array, gradients: jax.Array) -> jax.Array:
    """relu(sum over c of w_c A_c), w_c the mean over all places of dy / dA_c.

    Args:
        activations: A, what a layer gives, [B, h, w, C].
        gradients: of the class's logit by them, [B, h, w, C].

    Returns:
        Maps [B, h, w], none below 0.

    Source: arXiv:1610.02391, equations 1 and 2.
    """
    weights = jnp.mean(gradients, axis=(1, 2), keepdims=True)
    return nn.relu(jnp.sum(weights * activations, axis=-1))


def hires_cam(activations: jax.Array, gradients: jax.Array) -> jax.Array:
    """relu(sum over c of dy / dA_c A_c), place by place: gradients are not averaged first.

    Args:
        activations: A, what a layer gives, [B, h, w, C].
        gradients: of the class's logit by them, [B, h, w, C].

    Returns:
        Maps [B, h, w], none below 0.

    Source: arXiv:2011.08891. The ReLU, which leaves what speaks for the class, is as in Grad-CAM.
    """
    return nn.relu(jnp.sum(gradients * activations, axis=-1))


CAMS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {"Grad-CAM": grad_cam, "HiResCAM": hires_cam}


def layer_gradients(
    model: CNN, variables: dict[str, Any], images: jax.Array, targets: jax.Array, layers: tuple[str, ...]
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """What each layer gives and the gradient of a class's logit by it, for all layers in one backward pass.

    Zeros are added to what a layer gives, and the gradient is taken by them.

    Args:
        model: the network, in evaluation.
        variables: of the model.
        images: normalised, [B, H, W, 3].
        targets: int [B], the class whose logit is explained.
        layers: names as in `capture.Captured.layers`.

    Returns:
        {layer: (activations, gradients)}, both [B, h, w, C].
    """

    def logit(shifts):
        def shifted(call, args, kwargs, context):
            name = layer_of(context.module) if context.method_name == "__call__" else None
            given = call(*args, **kwargs)
            return given + shifts[name] if name in shifts else given

        with nn.intercept_methods(shifted):
            captured = capture(model, variables, images)
        chosen = jnp.take_along_axis(captured.logits, targets[:, None], axis=1)
        return jnp.sum(chosen), captured.layers

    shapes = jax.eval_shape(lambda values, x: capture(model, values, x).layers, variables, images)
    zeros = {layer: jnp.zeros(shapes[layer].shape, shapes[layer].dtype) for layer in layers}
    gradients, activations = jax.grad(logit, has_aux=True)(zeros)
    return {layer: (activations[layer], gradients[layer]) for layer in layers}


def cams(
    model: CNN, variables: dict[str, Any], images: jax.Array, targets: jax.Array, layers: tuple[str, ...]
) -> dict[str, dict[str, jax.Array]]:
    """Every kind of map in `CAMS` at each layer: {kind: {layer: [B, h, w]}}; arguments as in `layer_gradients`."""
    found = layer_gradients(model, variables, images, targets, layers)
    return {kind: {layer: method(*pair) for layer, pair in found.items()} for kind, method in CAMS.items()}
