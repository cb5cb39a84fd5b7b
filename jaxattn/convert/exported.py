"""Our own PyTorch export: names in the state dict are those of the parameters here, in PyTorch's terms.

`block1.conv.weight`, `block1.norm.running_mean`, `block1.attention.squeeze.weight`, `hidden.weight`, `head.bias`.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from jaxattn.convert.flat import from_chw, map_side, to_chw
from jaxattn.errors import InputError

NAMES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
ORDER = {1: (0,), 2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 0, 1)}  # of an array's axes in PyTorch, by their number
FIRST, HIDDEN = "block1.conv.weight", "hidden.weight"
ImageShape = tuple[int, int, int] | None


def to_exported(variables: Mapping[str, Any], image_shape: ImageShape = None) -> dict[str, np.ndarray]:
    """The arrays of a network's variables in PyTorch's layouts and under its names.

    Args:
        variables: of `CNN`.
        image_shape: (H, W, 3); None for a square image.

    Returns:
        Kernels [Cout, Cin, K, K], of one dimension [Cout, Cin, K], dense [out, in]; the inputs of the hidden layer are
        in the order C, H, W.
    """
    blocks = sum(name.startswith("block_") for name in variables["params"])
    channels = len(variables["params"][f"block_{blocks}"]["conv"]["bias"])
    state = {}
    for (_, *layer, part), leaf in traverse_util.flatten_dict(variables).items():
        path, value = ".".join(layer).replace("block_", "block"), np.asarray(leaf)
        if part == "mean":
            state[f"{path}.num_batches_tracked"] = np.array(0)
        name = f"{path}.{NAMES[part]}"
        is_flat = name == HIDDEN  # reads the flattened map
        converted = to_chw(value, channels, map_side(image_shape, blocks)) if is_flat else _transposed(value)
        state[name] = np.array(converted, order="C")
    return state


def from_exported(state: Mapping[str, np.ndarray], image_shape: ImageShape = None) -> dict[str, Any] | None:
    """The inverse of `to_exported`; None if the arrays do not have its names, with or without a common prefix.

    Args:
        state: arrays [...] by name.
        image_shape: (H, W, 3) of the network that receives the weights; None for a square image.

    Returns:
        {"params": ..., "batch_stats": ...} in Flax's layouts.

    Raises:
        InputError: if a block is missing, or an array is of no layer of this network.
    """
    prefix = next((name.removesuffix(FIRST) for name in state if re.search(rf"(^|\.){FIRST}$", name)), None)
    if prefix is None or prefix + HIDDEN not in state:
        return None
    named = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    blocks = sum(re.fullmatch(r"block\d+\.conv\.weight", name) is not None for name in named)
    last = f"block{blocks}.conv.weight"
    if last not in named:
        raise InputError(f"the weights are of {blocks} blocks but lack {last}; they are from another network")
    channels, side = len(named[last]), map_side(image_shape, blocks)
    variables: dict[tuple[str, ...], np.ndarray] = {}
    for name, value in named.items():
        *layer, part = re.sub(r"^block(\d+)\.", r"block_\1.", name).split(".")
        if part not in NAMES.values() or not layer:  # a counter, or a constant of the training program
            continue
        if value.ndim not in ORDER:
            raise InputError(f"layer {name!r} is not part of this network; it is {list(value.shape)}")
        if part.startswith("running_"):
            variables["batch_stats", *layer, part.removeprefix("running_")] = value
        elif value.ndim == 1:
            variables["params", *layer, "bias" if part == "bias" else "scale"] = value
        else:
            kernel = from_chw(value, channels, side) if name == HIDDEN else _transposed(value, back=True)
            variables["params", *layer, "kernel"] = kernel
    return traverse_util.unflatten_dict(variables)


def _transposed(value, back=False):
    order = ORDER[value.ndim]
    return value.transpose(np.argsort(order) if back else order)
