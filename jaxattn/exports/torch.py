"""A network as a PyTorch state dict, and the plain PyTorch module that reads it and needs torch alone.

Names in the state dict are those of the parameters here, in PyTorch's words: `block1.conv.weight`,
`block1.norm.running_mean`, `block1.attention.squeeze.weight`, `hidden.weight`, `head.bias`. The module computes in
float32, also where the run had another compute dtype. It normalises nothing by itself; `preprocess`, beside it, does.
"""

import io
from typing import Any

import numpy as np

from jaxattn.convert import to_chw
from jaxattn.data.augment import MEAN, STD
from jaxattn.errors import InputError
from jaxattn.exports import FORMATS
from jaxattn.exports.template import with_settings
from jaxattn.networks import WIDE
from jaxattn.runs.checkpoint import named
from jaxattn.runs.run import Run

ATTENTION = ("none", "se", "eca", "cbam", "spatial", "channel", "simam")
NAMES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
ORDER = {1: (0,), 2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 0, 1)}  # of an array's axes, by their number


def contents(run: Run, shape: tuple[int, int, int]) -> dict[str, bytes]:
    """The files to write, by name: the state dict, and the module.

    Args:
        run: whose network it is.
        shape: of an image, (H, W, 3).

    Raises:
        InputError: where the module has no such attention.
    """
    import torch

    attention = "none" if run.config.attention.startswith(WIDE) else run.config.attention
    if attention not in ATTENTION:
        raise InputError(
            f"attention {attention} cannot be exported to PyTorch, only {', '.join(ATTENTION)} and {WIDE}NAME can"
        )
    module = with_settings("model.py", _settings(run, attention, shape))
    state = {name: torch.tensor(value) for name, value in state_dict(run.variables).items()}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return {FORMATS["torch"].file: buffer.getvalue(), "model.py": module}


def state_dict(variables: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a network's variables in PyTorch's layouts and under its names.

    Returns:
        Kernels [Cout, Cin, K, K], of one dimension [Cout, Cin, K], dense [out, in]; the inputs of the hidden layer are
        in the order C, H, W.
    """
    blocks = [name for name in variables["params"] if name.startswith("block_")]
    channels = len(variables["params"][f"block_{len(blocks)}"]["conv"]["bias"])
    state = {}
    for name, value in named(variables).items():
        _, *layer, part = name.split("/")
        path = ".".join(layer).replace("block_", "block")
        if part == "mean":
            state[f"{path}.num_batches_tracked"] = np.array(0)
        is_flat = layer == ["hidden"] and part == "kernel"  # reads the flattened map
        converted = to_chw(value, channels) if is_flat else value.transpose(ORDER[value.ndim])
        state[f"{path}.{NAMES[part]}"] = np.array(converted, order="C")
    return state


def _settings(run: Run, attention: str, shape: tuple[int, int, int]) -> dict[str, Any]:
    model = run.model
    return {
        "CLASSES": run.classes,
        "SIZE": shape[:2],
        "MEAN": MEAN,
        "STD": STD,
        "WIDTHS": model.widths,
        "HIDDEN": model.hidden,
        "DROPOUT": model.dropout,
        "ATTENTION": attention,
        "ATTENTION_AT": model.attention_at or tuple(range(1, len(model.widths) + 1)),
        "POSITION": model.attention_position,
        "REDUCTION": run.config.reduction,
    }
