"""What the network computes on its way: its layers and every gate, without an edit of the model."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict
from jax import Array
from jaxtyping import Float

from jaxattn.model import CNN, ConvBlock
from jaxattn.types import Layer, layer


class Captured(NamedTuple):
    """What is captured in one pass of B images.

    Attributes:
        logits: [B, K].
        layers: the output of each layer, [B, h, w, C], as conv1, norm1, attention1 (if there is one), block1, ...
        gates: the weights of each gate, [B, h, w, C] where h, w and C may each be 1, as block1 or, of a module with
            several gates, block1/channel.
        attention_received: of self-attention, how much attention each position receives from all positions and heads,
            [B, h, w], as a multiple of the uniform share; named like gates.
    """

    logits: Float[Array, "B K"]
    layers: dict[Layer, Float[Array, "B _h _w _C"]]
    gates: dict[Layer, Float[Array, "B _h _w _C"]]
    attention_received: dict[Layer, Float[Array, "B _h _w"]]


def layer_of(module: nn.Module) -> Layer | None:
    """The layer that a module computes: block2 for the second block, conv2 for its convolution; None if deeper."""
    if isinstance(module, ConvBlock):
        return layer("block", _number(str(module.name)))
    if isinstance(module.parent, ConvBlock):
        return layer(str(module.name), _number(str(module.parent.name)))
    return None


def capture(model: CNN, variables: dict[str, Any], images: Float[Array, "B H W 3"]) -> Captured:
    """One pass in evaluation mode, with what happens inside.

    Args:
        model: the network; its attention may be any module.
        variables: of the model.
        images: normalised, [B, H, W, 3].
    """
    logits, state = model.apply(variables, images, capture_intermediates=_is_captured, mutable=["intermediates"])
    layers, gates, received = {}, {}, {}
    for (block, *inner, method), values in flatten_dict(state["intermediates"]).items():
        for i, value in enumerate(jax.tree.leaves(values), 1):
            path = "".join(f"/{name}" for name in inner[1:]) + (f"#{i}" if len(values) > 1 else "")
            name = layer("block", _number(block), path)
            if method == "__call__":
                layers[layer(inner[0] if inner else "block", _number(block))] = value
            elif method == "gate":
                gates[name] = _full_rank(value, len(images))
            elif (positions := _READERS[method](value, images)) is not None:
                received[name] = positions
    return Captured(logits, layers, gates, received)


def layer_shapes(
    model: CNN, variables: dict[str, Any], shape: tuple[int, int, int]
) -> dict[Layer, tuple[int, int, int]]:
    """The layers that can be captured, first to last, with their shapes (h, w, C), for images of `shape` (H, W, 3)."""
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    layers = jax.eval_shape(lambda values, x: capture(model, values, x).layers, variables, image)
    return {name: layers[name].shape[1:] for name in sorted(layers)}


def _number(block: str) -> int:
    return int(block.removeprefix("block_"))


def _is_captured(module, method):
    return method == "gate" or method in _READERS or (method == "__call__" and layer_of(module) is not None)


def _full_rank(gate, batch):
    """A gate of any shape that broadcasts to [B, H, W, C], with all four axes and every image its own."""
    gate = gate.reshape((1,) * (4 - gate.ndim) + gate.shape).astype(jnp.float32)
    return jnp.broadcast_to(gate, (batch, *gate.shape[1:]))


def _of_pairs(weights, images):
    """Attention weights [B, heads, queries, keys] as [B, h, w] with mean 1; None where keys are not on a grid.

    Keys lie on the image's grid or on a coarser one, halved by pools.
    """
    batch, height, width, _ = images.shape
    if weights.ndim != 4 or weights.shape[0] != batch:
        return None
    grids = [(height >> i, width >> i) for i in range(min(height, width).bit_length())]
    grid = next((grid for grid in grids if grid[0] * grid[1] == weights.shape[-1]), None)
    if grid is None:
        return None
    return _relative(weights.astype(jnp.float32).mean(axis=(1, 2)).reshape(batch, *grid))


def _of_positions(weights, images):
    """Pooling weights [B, h, w, 1] as [B, h, w] with mean 1."""
    return _relative(weights[..., 0].astype(jnp.float32))


def _relative(received):
    return received / received.mean(axis=(1, 2), keepdims=True)


# By the name of a module's method: how its weights say how much attention each position receives.
_READERS = {"attention_weights": _of_pairs, "pooling_weights": _of_positions}
