"""Class activation maps: where in a layer the evidence for a class lies."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Int32

from jaxattn.explain.capture import Captured, capture, layers_by_path
from jaxattn.networks.network import Network
from jaxattn.types import Layer, MapKind


def grad_cam(activations: Float[Array, "B h w C"], gradients: Float[Array, "B h w C"]) -> Float[Array, "B h w"]:
    """Grad-CAM: relu(sum over c of w_c A_c), w_c the mean over all positions of dy / dA_c.

    Args:
        activations: A, the output of a layer, [B, h, w, C].
        gradients: gradients of the class's logit with respect to them, [B, h, w, C].

    Returns:
        Maps [B, h, w], not negative.

    Source: arXiv:1610.02391, equations 1 and 2.
    """
    weights = jnp.mean(gradients, axis=(1, 2), keepdims=True)
    return nn.relu(jnp.sum(weights * activations, axis=-1))


def hires_cam(activations: Float[Array, "B h w C"], gradients: Float[Array, "B h w C"]) -> Float[Array, "B h w"]:
    """HiResCAM: relu(sum over c of dy / dA_c A_c), position by position: gradients are not averaged first.

    Args:
        activations: A, the output of a layer, [B, h, w, C].
        gradients: gradients of the class's logit with respect to them, [B, h, w, C].

    Returns:
        Maps [B, h, w], not negative.

    Source: arXiv:2011.08891. The ReLU, which keeps the evidence for the class, is as in Grad-CAM.
    """
    return nn.relu(jnp.sum(gradients * activations, axis=-1))


def layer_cam(activations: Float[Array, "B h w C"], gradients: Float[Array, "B h w C"]) -> Float[Array, "B h w"]:
    """LayerCAM: relu(sum over c of relu(dy / dA_c) A_c), position by position: negative gradients are ignored.

    Args:
        activations: A, the output of a layer, [B, h, w, C].
        gradients: gradients of the class's logit with respect to them, [B, h, w, C].

    Returns:
        Maps [B, h, w], not negative.

    Source: Jiang et al., LayerCAM, IEEE Transactions on Image Processing 30 (2021), without the scaling by tanh for
    shallow layers, which are fused there.
    """
    return nn.relu(jnp.sum(nn.relu(gradients) * activations, axis=-1))


CAMS: dict[MapKind, Callable[[jax.Array, jax.Array], jax.Array]] = {
    MapKind.GRAD_CAM: grad_cam,
    MapKind.HIRES_CAM: hires_cam,
    MapKind.LAYER_CAM: layer_cam,
}


def layer_gradients(
    model: Network,
    variables: dict[str, Any],
    images: Float[Array, "B H W 3"],
    targets: Int32[Array, " B"],
    layers: tuple[Layer, ...],
) -> tuple[Captured, dict[Layer, Float[Array, "B _h _w _C"]]]:
    """What one forward pass captures, and from one backward pass the gradients of a class's logit for some layers.

    Zeros are added to the output of each layer, and the gradient is taken with respect to them.

    Args:
        model: the network, in evaluation mode.
        variables: variables of the model.
        images: normalised, [B, H, W, 3].
        targets: int32 [B], the class whose logit is explained; below 0 for the predicted one.
        layers: as in `capture.Captured.layers`.

    Returns:
        What `capture` returns, and {layer: gradients [B, h, w, C]}.
    """

    known = layers_by_path(model)

    def shifted_by(shifts):
        def add(call, args, kwargs, context):
            name = known.get(context.module.path) if context.method_name == "__call__" else None
            output = call(*args, **kwargs)
            return output + shifts[name] if name in shifts else output

        with nn.intercept_methods(add):
            captured = capture(model, variables, images)
        return captured.logits, captured

    shapes = jax.eval_shape(lambda values, x: capture(model, values, x).layers, variables, images)
    zeros = {name: jnp.zeros(shapes[name].shape, shapes[name].dtype) for name in layers}
    logits, backward, captured = jax.vjp(shifted_by, zeros, has_aux=True)
    explained = jnp.where(targets < 0, logits.argmax(axis=1), targets)
    (gradients,) = backward(jax.nn.one_hot(explained, logits.shape[1], dtype=logits.dtype))
    return captured, gradients


def explain(
    model: Network,
    variables: dict[str, Any],
    images: Float[Array, "B H W 3"],
    targets: Int32[Array, " B"],
    layers: tuple[Layer, ...],
) -> tuple[Captured, dict[MapKind, dict[Layer, Float[Array, "B _h _w"]]]]:
    """What one forward pass captures, and every kind of map in `CAMS` at each layer.

    Args:
        model, variables, images, targets, layers: as for `layer_gradients`; images [B, H, W, 3], targets [B].

    Returns:
        What `capture` returns, and {kind: {layer: [B, h, w]}}.
    """
    captured, gradients = layer_gradients(model, variables, images, targets, layers)
    maps = {
        kind: {name: method(captured.layers[name], gradients[name]) for name in layers} for kind, method in CAMS.items()
    }
    return captured, maps
