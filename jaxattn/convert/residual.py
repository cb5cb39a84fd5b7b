"""Converts PyTorch weights of residual networks of basic blocks, under the names that public checkpoints use.

These are torchvision's: conv1, bn1, layer1.0.conv1, layer1.0.bn1, ..., layer2.0.downsample.0, fc. Others call the
shortcut `shortcut` and the head `linear`, and a wrapper may add a prefix, such as `module.`.

Source: github.com/akamaster/pytorch_resnet_cifar10, github.com/chenyaofo/pytorch-cifar-models, torchvision.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict

from jaxattn.errors import InputError

MARK = re.compile(r"(.*?)layer1\.0\.conv1\.weight")
BLOCK = re.compile(r"layer(\d+)\.(\d+)\.(conv1|conv2|bn1|bn2|(?:downsample|shortcut)\.[01])")
ORDER = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}  # of an array's axes in Flax, by their number
SHORTCUT = {"0": "shortcut_conv", "1": "shortcut_norm"}


def from_residual(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """The variables of `networks.resnet.ResNet` from a state dict; None if it has no layers with such names.

    Args:
        state: arrays by name, in PyTorch's layouts: kernels [Cout, Cin, K, K], dense [out, in].

    Returns:
        {"params": ..., "batch_stats": ...} in Flax's layouts: kernels [K, K, Cin, Cout], dense [in, out].

    Raises:
        InputError: if a layer is not part of such a network.
    """
    prefixes = [match[1] for match in map(MARK.fullmatch, state) if match]
    if not prefixes:
        return None
    variables: dict[tuple[str, ...], np.ndarray] = {}
    for name, value in state.items():
        if name.startswith(prefixes[0]) and not name.endswith("num_batches_tracked"):
            layer, _, part = name.removeprefix(prefixes[0]).rpartition(".")
            path = _path(layer)
            value = np.asarray(value)  # noqa: PLW2901
            if path is None or part not in ("weight", "bias", "running_mean", "running_var") or value.ndim not in ORDER:
                raise InputError(
                    f"layer {name!r} is not part of a residual network of basic blocks; it is {list(value.shape)}"
                )
            _add(variables, path, part, value)
    return unflatten_dict(variables)


def _path(layer: str) -> tuple[str, ...] | None:
    if block := BLOCK.fullmatch(layer):
        part = block[3].replace("bn", "norm") if "." not in block[3] else SHORTCUT[block[3][-1]]
        return f"stage{block[1]}_block{int(block[2]) + 1}", part
    return {"conv1": ("conv",), "bn1": ("norm",), "fc": ("head",), "linear": ("head",)}.get(layer)


def _add(variables: dict[tuple[str, ...], np.ndarray], path: tuple[str, ...], part: str, value: np.ndarray) -> None:
    if part.startswith("running_"):
        variables["batch_stats", *path, part.removeprefix("running_")] = value
    elif part == "bias":
        variables["params", *path, "bias"] = value
    elif value.ndim == 1:
        variables["params", *path, "scale"] = value
    else:
        variables["params", *path, "kernel"] = value.transpose(ORDER[value.ndim])
