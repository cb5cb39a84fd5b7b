"""What the network computes on its way: its layers and every gate, with no edit of the model."""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict

from jaxattn.model import CNN, ConvBlock

KINDS = ("conv", "norm", "attention", "block")


class Captured(NamedTuple):
    """All that is drawn of one pass of B images.

    Attributes:
        logits: [B, K].
        layers: what each layer gives, [B, h, w, C], as "conv1", "norm1", "attention1" (if there is one), "block1", ...
        gates: what each gate weighs with, [B, h, w, C] where h, w and C may each be 1, as "block1" or, of a module with
            several gates, "block1/channel".
        attended: of self-attention, how much each place is looked at by all places and heads, [B, h, w], as a
            multiple of what each would get if all got the same; named like gates.
    """

    logits: jax.Array
    layers: dict[str, jax.Array]
    gates: dict[str, jax.Array]
    attended: dict[str, jax.Array]


def layer_of(module: nn.Module) -> str | None:
    """The name of a layer: "block2" for the second block, "conv2" for its convolution; None for what lies deeper."""
    if isinstance(module, ConvBlock):
        return module.name.replace("_", "")
    if isinstance(module.parent, ConvBlock):
        return module.name + module.parent.name.removeprefix("block_")
    return None


def in_order(name: str) -> tuple[int, int, str]:
    """A key to sort layers and gates from first to last: "conv2" before "block2" before "conv10"."""
    kind, number, rest = re.fullmatch(r"([a-z]+)(\d+)(.*)", name).groups()
    return int(number), KINDS.index(kind), rest


def capture(model: CNN, variables: dict[str, Any], images: jax.Array) -> Captured:
    """One pass in evaluation, with what happens inside.

    Args:
        model: the network; its attention may be any module.
        variables: of the model.
        images: normalised, [B, H, W, 3].
    """
    logits, state = model.apply(variables, images, capture_intermediates=_is_drawn, mutable=["intermediates"])
    layers, gates, attended = {}, {}, {}
    for (block, *inner, method), values in flatten_dict(state["intermediates"]).items():
        number = block.removeprefix("block_")
        for i, value in enumerate(jax.tree.leaves(values), 1):
            name = "/".join([f"block{number}", *inner[1:]]) + (f"#{i}" if len(values) > 1 else "")
            if method == "__call__":
                layers[(inner[0] if inner else "block") + number] = value
            elif method == "gate":
                gates[name] = _full_rank(value, len(images))
            elif (places := _places(value, images)) is not None:
                attended[name] = places
    return Captured(logits, layers, gates, attended)


def layer_shapes(model: CNN, variables: dict[str, Any], shape: tuple[int, int, int]) -> dict[str, tuple[int, int, int]]:
    """The layers that can be captured, first to last, with their shapes (h, w, C), of images of `shape` (H, W, 3)."""
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    layers = jax.eval_shape(lambda values, x: capture(model, values, x).layers, variables, image)
    return {name: layers[name].shape[1:] for name in sorted(layers, key=in_order)}


def _is_drawn(module, method):
    return method in ("gate", "weights") or (method == "__call__" and layer_of(module) is not None)


def _full_rank(gate, batch):
    """A gate of any shape that broadcasts to [B, H, W, C], with all four axes and every image its own."""
    gate = gate.reshape((1,) * (4 - gate.ndim) + gate.shape).astype(jnp.float32)
    return jnp.broadcast_to(gate, (batch, *gate.shape[1:]))


def _places(weights, images):
    """Self-attention's weights, [B, heads, places, keys] or [B, h, w, 1], as [B, h, w] with mean 1; None for others."""
    batch, height, width, _ = images.shape
    if weights.ndim != 4 or weights.shape[0] != batch:
        return None
    if weights.shape[-1] == 1 < weights[0].size:
        received = weights[..., 0].astype(jnp.float32)
    else:  # keys lie on the image's grid or on a coarser one, halved by pools
        received = weights.astype(jnp.float32).mean(axis=(1, 2))
        grids = [(height >> i, width >> i) for i in range(min(height, width).bit_length())]
        grid = next((grid for grid in grids if grid[0] * grid[1] == received.shape[-1]), None)
        if grid is None:
            return None
        received = received.reshape(batch, *grid)
    return received / received.mean(axis=(1, 2), keepdims=True)
