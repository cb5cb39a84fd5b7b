"""Converts weights between a PyTorch state dict of the tutorial's network and the variables of `CNN`.

Layers are matched by shape, not by name, since every copy of the tutorial names its layers differently:

* a 3x3 kernel is a convolution;
* a layer with running statistics is a batch normalisation;
* a dense or 1x1 kernel without a bias is an attention layer, of which each block has two;
* a dense kernel with a bias is the hidden layer or the head.

Layers are ordered so that each accepts the output of the one before. The order in the file decides only between layers
of the same shape.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxattn.convert.exported import ImageShape
from jaxattn.convert.flat import from_chw, map_side, to_chw
from jaxattn.errors import InputError


def from_torch(state: Mapping[str, Any], image_shape: ImageShape = None) -> dict[str, Any]:
    """The variables of `CNN` from a state dict.

    Args:
        state: arrays by name, in PyTorch's layouts: kernels [Cout, Cin, 3, 3], dense [out, in]; the inputs of the
            hidden layer are in the order C, H, W.
        image_shape: (H, W, 3) of the network that receives the weights; None for a square image.

    Returns:
        {"params": ..., "batch_stats": ...} in Flax's layouts: kernels [3, 3, Cin, Cout], dense [in, out]; the inputs of
        the hidden layer are in the order H, W, C.

    Raises:
        InputError: if the arrays are not those of this network.
    """
    convs, norms, gates, denses = _by_kind({name: np.asarray(value) for name, value in state.items()})
    blocks = len(convs)
    if not blocks or len(norms) != blocks or len(gates) not in (0, 2 * blocks) or len(denses) != 2:
        raise InputError(
            "the weights must be of n 3x3 convolutions, n norms, 0 or 2n attention layers and 2 dense layers, got "
            f"{blocks}, {len(norms)}, {len(gates)} and {len(denses)}"
        )
    params, batch_stats, channels, with_gates = {}, {}, 3, bool(gates)
    for i in range(blocks):
        conv = _take(convs, f"a convolution of {channels} channels", lambda w, n=channels: w.shape[1] == n)
        channels = len(conv["weight"])
        norm = _take(norms, f"a norm of {channels} channels", lambda w, n=channels: len(w) == n)
        block = {
            "conv": {"kernel": conv["weight"].transpose(2, 3, 1, 0), "bias": conv["bias"]},
            "norm": {"scale": norm["weight"], "bias": norm["bias"]},
        }
        if with_gates:
            block["attention"] = _attention(gates, channels)
        params[f"block_{i + 1}"] = block
        batch_stats[f"block_{i + 1}"] = {"norm": {"mean": norm["running_mean"], "var": norm["running_var"]}}
    return {"params": params | _classifier(denses, channels, map_side(image_shape, blocks)), "batch_stats": batch_stats}


def _attention(gates, channels):
    """Parameters of the next squeeze-and-excitation for this number of channels; removes its layers from `gates`."""
    what = f"an attention layer of {channels} channels"
    squeeze = _take(gates, what, lambda w: len(w) <= w.shape[1] == channels)["weight"]
    excite = _take(gates, what, lambda w: w.shape[:2] == (channels, len(squeeze)))["weight"]
    return {
        name: {"kernel": weight.reshape(weight.shape[:2]).T}
        for name, weight in (("squeeze", squeeze), ("excite", excite))
    }


def _classifier(denses, channels, side):
    """Parameters of the hidden layer and the head, from the two dense layers in either order.

    Raises:
        InputError: if they do not fit together.
    """
    if len(denses[0]["weight"]) != denses[1]["weight"].shape[1]:
        denses.reverse()
    hidden, head = denses
    if len(hidden["weight"]) != head["weight"].shape[1]:
        raise InputError(
            "the head must read what the hidden layer outputs, but sizes differ; the weights are from another network"
        )
    return {
        "hidden": {"kernel": from_chw(hidden["weight"], channels, side), "bias": hidden["bias"]},
        "head": {"kernel": head["weight"].T, "bias": head["bias"]},
    }


def to_torch(variables: Mapping[str, Any], image_shape: ImageShape = None) -> dict[str, np.ndarray]:
    """The inverse of `from_torch`, under the names conv1, bn1, attention1.fc.0, attention1.fc.2, ..., fc1, fc2.

    Args:
        variables: those of `CNN` without attention or with squeeze-and-excitation. `channel` and `shuffled` have the
            same layers and are converted alike; the state dict does not say which of the three they belong to.
        image_shape: (H, W, 3); None for a square image.

    Returns:
        Arrays by name, in PyTorch's layouts: kernels [Cout, Cin, 3, 3], dense [out, in].

    Raises:
        InputError: if the attention has other layers.
    """
    params, stats, state = variables["params"], variables["batch_stats"], {}
    blocks = sum(name.startswith("block_") for name in params)
    for i in range(1, blocks + 1):
        block, running = params[f"block_{i}"], stats[f"block_{i}"]["norm"]
        state[f"conv{i}.weight"] = np.transpose(block["conv"]["kernel"], (3, 2, 0, 1))
        state[f"conv{i}.bias"] = np.asarray(block["conv"]["bias"])
        state[f"bn{i}.weight"], state[f"bn{i}.bias"] = (
            np.asarray(block["norm"]["scale"]),
            np.asarray(block["norm"]["bias"]),
        )
        state[f"bn{i}.running_mean"], state[f"bn{i}.running_var"] = (
            np.asarray(running["mean"]),
            np.asarray(running["var"]),
        )
        state[f"bn{i}.num_batches_tracked"] = np.array(0)
        if "attention" in block:
            layers = {name: set(layer) for name, layer in block["attention"].items()}
            if layers != {"squeeze": {"kernel"}, "excite": {"kernel"}}:
                raise InputError(
                    f"only attention se can be converted to PyTorch, got layers {sorted(block['attention'])}"
                )
            state[f"attention{i}.fc.0.weight"] = np.transpose(block["attention"]["squeeze"]["kernel"])
            state[f"attention{i}.fc.2.weight"] = np.transpose(block["attention"]["excite"]["kernel"])
    channels, side = len(state[f"conv{blocks}.bias"]), map_side(image_shape, blocks)
    state["fc1.weight"] = to_chw(np.asarray(params["hidden"]["kernel"]), channels, side)
    state["fc1.bias"] = np.asarray(params["hidden"]["bias"])
    state["fc2.weight"], state["fc2.bias"] = np.transpose(params["head"]["kernel"]), np.asarray(params["head"]["bias"])
    return state


def _by_kind(state):
    """Convolutions, norms, attention and dense layers, each in the order of the file, as dicts of arrays.

    Raises:
        InputError: if a layer is none of these.
    """
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, value in state.items():
        layer, _, part = name.rpartition(".")
        if not _is_constant(part, value):
            layers.setdefault(layer, {})[part] = value
    convs, norms, gates, denses = [], [], [], []
    for name, layer in layers.items():
        weight = layer.get("weight", np.zeros(()))
        if weight.ndim == 1 and layer.keys() >= {"bias", "running_mean", "running_var"}:
            norms.append(layer)
        elif weight.ndim == 4 and weight.shape[2:] == (3, 3) and "bias" in layer:
            convs.append(layer)
        elif weight.ndim == 2 and "bias" in layer:
            denses.append(layer)
        elif "bias" not in layer and (weight.ndim == 2 or (weight.ndim == 4 and weight.shape[2:] == (1, 1))):
            gates.append(layer)
        else:
            raise InputError(
                f"layer {name!r} with {sorted(layer)}, weight {list(weight.shape)}, is not part of this network"
            )
    return convs, norms, gates, denses


def _is_constant(part, value):
    """Whether a buffer belongs to no layer: a counter, or the mean or deviation of an image's three colours."""
    return (value.ndim == 0 and value.dtype.kind in "iu") or (part in ("mean", "std") and value.size == 3)


def _take(layers, what, fits):
    """Removes the first layer whose weight fits, and returns it.

    Raises:
        InputError: if there is none.
    """
    for i, layer in enumerate(layers):
        if fits(layer["weight"]):
            return layers.pop(i)
    raise InputError(
        f"the weights must hold {what} to follow the layer before, but do not; they are from another network"
    )
