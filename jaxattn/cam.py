"""Class activation maps: where in a layer the evidence for a class lies."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn.capture import Captured, capture, layer_of
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
) -> tuple[Captured, dict[str, jax.Array]]:
    """One pass, what is captured in it, and the gradients of a class's logit by layers, all in one way back.

    Zeros are added to what a layer gives, and the gradient is taken by them.

    Args:
        model: the network, in evaluation.
        variables: of the model.
        images: normalised, [B, H, W, 3].
        targets: int [B], the class whose logit is explained; below 0 for the one that is predicted.
        layers: names as in `capture.Captured.layers`.

    Returns:
        What `capture` gives, and {layer: gradients [B, h, w, C]}.
    """

    def shifted_by(shifts):
        def add(call, args, kwargs, context):
            name = layer_of(context.module) if context.method_name == "__call__" else None
            given = call(*args, **kwargs)
            return given + shifts[name] if name in shifts else given

        with nn.intercept_methods(add):
            captured = capture(model, variables, images)
        return captured.logits, captured

    shapes = jax.eval_shape(lambda values, x: capture(model, values, x).layers, variables, images)
    zeros = {layer: jnp.zeros(shapes[layer].shape, shapes[layer].dtype) for layer in layers}
    logits, pull, captured = jax.vjp(shifted_by, zeros, has_aux=True)
    explained = jnp.where(targets < 0, logits.argmax(axis=1), targets)
    (gradients,) = pull(jax.nn.one_hot(explained, logits.shape[1], dtype=logits.dtype))
    return captured, gradients


def explain(
    model: CNN, variables: dict[str, Any], images: jax.Array, targets: jax.Array, layers: tuple[str, ...]
) -> tuple[Captured, dict[str, dict[str, jax.Array]]]:
    """What is captured in one pass, and every kind of map in `CAMS` at each layer; arguments as in `layer_gradients`.

    Returns:
        What `capture` gives, and {kind: {layer: [B, h, w]}}.
    """
    captured, gradients = layer_gradients(model, variables, images, targets, layers)
    maps = {
        kind: {layer: method(captured.layers[layer], gradients[layer]) for layer in layers}
        for kind, method in CAMS.items()
    }
    return captured, maps
