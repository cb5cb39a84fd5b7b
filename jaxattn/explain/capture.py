"""What the network computes inside: its layers and every gate, without changes to the model."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict
from jax import Array
from jaxtyping import Float

from jaxattn.networks.network import Network, Path, Site
from jaxattn.types import Layer


class Captured(NamedTuple):
    """What one forward pass over B images captures.

    Attributes:
        logits: [B, K].
        layers: the output of each of the network's layers, [B, h, w, C]; without attention layers that it lacks.
        gates: the weights of each gate, [B, h, w, C] where h, w and C may each be 1, named as their site, such as
            block1, or, of a module with several gates, block1/channel.
        attention_received: of self-attention, how much attention each position receives from all positions and heads,
            [B, h, w], as a multiple of the uniform share; named like gates.
        gate_inputs: the mean over positions of the input of each gate, [B, C]; named like gates.
    """

    logits: Float[Array, "B K"]
    layers: dict[Layer, Float[Array, "B _h _w _C"]]
    gates: dict[Layer, Float[Array, "B _h _w _C"]]
    attention_received: dict[Layer, Float[Array, "B _h _w"]]
    gate_inputs: dict[Layer, Float[Array, "B _C"]]


def layers_by_path(model: Network) -> dict[Path, Layer]:
    """The layers of a network, by the path of the module that computes each."""
    return {place.path: Layer(number, place.name, place.path[0]) for number, place in enumerate(model.layers(), 1)}


def mapped_layers(model: Network) -> tuple[Layer, ...]:
    """The layers whose maps are shown by default, first to last; the last layer if the network says of none."""
    known, layers = layers_by_path(model), model.layers()
    return tuple(known[place.path] for place in [one for one in layers if one.mapped] or layers[-1:])


def capture(model: Network, variables: dict[str, Any], images: Float[Array, "B H W 3"]) -> Captured:
    """One forward pass in evaluation mode, with the intermediate values.

    Args:
        model: the network; its attention may be any module.
        variables: variables of the model.
        images: normalised, [B, H, W, 3].
    """
    known, sites = layers_by_path(model), model.sites()
    numbers = {one.name: one.number for one in known.values()}

    def is_captured(module, method):
        return method == "gate" or method in _READERS or (method == "__call__" and module.path in known)

    with nn.intercept_methods(_record_input):
        logits, state = model.apply(variables, images, capture_intermediates=is_captured, mutable=["intermediates"])
    layers, gates, received, inputs = {}, {}, {}, {}
    captured = flatten_dict(state["intermediates"])
    for (*within, method), values in captured.items():
        path = tuple(within)
        if method == "__call__":
            layers[known[path]] = jax.tree.leaves(values)[-1]
        if method in ("__call__", _GRID):
            continue
        at = [site for site in sites if path[: len(site.path)] == site.path]
        site = at[0] if at else Site(path[0], path[:1], 0)  # of a gate that is part of the network itself
        inner = "".join(f"/{name}" for name in path[len(site.path) :])
        several = jax.tree.leaves(values)  # of several calls, or of a gate of several arrays
        for i, value in enumerate(several, 1):
            suffix = f"#{i}" if len(several) > 1 else ""
            name = Layer(numbers.get(site.name, 0), f"{site.name}{inner}{suffix}", path[0])
            if method == "gate":
                gates[name] = _full_rank(value, len(images))
            elif method == _INPUT:
                inputs[name] = value
            elif (positions := _READERS[method](value, captured.get((*path, _GRID)))) is not None:
                received[name] = positions
    return Captured(logits, layers, gates, received, inputs)


def layer_shapes(
    model: Network, variables: dict[str, Any], shape: tuple[int, int, int]
) -> dict[Layer, tuple[int, int, int]]:
    """The layers that can be captured, first to last, with their shapes (h, w, C), for images of `shape` (H, W, 3)."""
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    layers = jax.eval_shape(lambda values, x: capture(model, values, x).layers, variables, image)
    return {name: layers[name].shape[1:] for name in sorted(layers)}


def _record_input(call, args, kwargs, context):
    """Keeps what the weights do not tell, as intermediates of their module.

    Of a gate, the mean of its input over positions; of a module with attention weights, its input's grid.
    """
    module, method = context.module, context.method_name
    if args and getattr(args[0], "ndim", 0) == 4:
        if method == "gate":
            module.sow("intermediates", _INPUT, args[0].astype(jnp.float32).mean(axis=(1, 2)))
        if method == "__call__" and hasattr(module, "attention_weights"):
            module.sow("intermediates", _GRID, jnp.zeros(args[0].shape[:3]))
    return call(*args, **kwargs)


def _full_rank(gate, batch):
    """A gate of any shape that broadcasts to [B, H, W, C], expanded to four axes and to all images."""
    gate = gate.reshape((1,) * (4 - gate.ndim) + gate.shape).astype(jnp.float32)
    return jnp.broadcast_to(gate, (batch, *gate.shape[1:]))


def _of_pairs(weights, inputs):
    """Attention weights [B, heads, queries, keys] as [B, h, w] with mean 1; None if keys are not on a grid.

    Keys lie on the grid of the module's input, or on one that a pool has halved. Weights of windows, or of positions
    alone, are not of whole images.
    """
    if weights.ndim != 4 or inputs is None or len(weights) != len(inputs[-1]):
        return None
    _, height, width = inputs[-1].shape
    grids = ((height, width), (height // 2, width // 2))
    grid = next((grid for grid in grids if grid[0] * grid[1] == weights.shape[-1]), None)
    if grid is None:
        return None
    return _relative(weights.astype(jnp.float32).mean(axis=(1, 2)).reshape(len(weights), *grid))


def _of_positions(weights, inputs):
    """Pooling weights [B, h, w, 1] as [B, h, w] with mean 1."""
    return _relative(weights[..., 0].astype(jnp.float32))


def _relative(received):
    return received / received.mean(axis=(1, 2), keepdims=True)


_INPUT, _GRID = "gate_input", "attention_grid"
# Name of a module's method: how its weights give the attention that each position receives.
_READERS = {"attention_weights": _of_pairs, "pooling_weights": _of_positions}
