"""A network as a PyTorch state dict, and the plain PyTorch module that reads it and needs torch alone.

Names in the state dict are those of `convert.exported`, which reads it back. The module computes in float32, even if
the run used another compute dtype. It does not normalise its input; `preprocess`, in the same file, does.
"""

import io
from typing import Any

from jaxattn.convert import to_exported
from jaxattn.errors import InputError
from jaxattn.exports import FORMATS
from jaxattn.exports.template import with_settings
from jaxattn.networks import CNN, WIDE
from jaxattn.runs.run import Run

ATTENTION = ("none", "se", "eca", "cbam", "spatial", "channel", "simam")


def contents(run: Run, shape: tuple[int, int, int]) -> dict[str, bytes]:
    """The files to write, by name: the state dict, and the module.

    Args:
        run: the run whose network it is.
        shape: shape of an image, (H, W, 3).

    Raises:
        InputError: if it is another network than `cnn`, or the module does not support its attention.
    """
    import torch

    if not isinstance(run.model, CNN):
        raise InputError(f"network {run.config.network} cannot be exported to PyTorch, only cnn can")
    if run.config.attention_start != "usual":
        raise InputError("attention with attention_start identity cannot be exported to PyTorch")
    attention = "none" if run.config.attention.startswith(WIDE) else run.config.attention
    if attention not in ATTENTION:
        raise InputError(
            f"attention {attention} cannot be exported to PyTorch, only {', '.join(ATTENTION)} and {WIDE}NAME can"
        )
    module = with_settings("model.py", _settings(run, attention, shape))
    state = {name: torch.tensor(value) for name, value in to_exported(run.variables, shape).items()}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return {FORMATS["torch"].file: buffer.getvalue(), "model.py": module}


def _settings(run: Run, attention: str, shape: tuple[int, int, int]) -> dict[str, Any]:
    model = run.model
    return {
        "CLASSES": run.classes,
        "SIZE": shape[:2],
        "MEAN": run.spec.mean,
        "STD": run.spec.std,
        "WIDTHS": model.widths,
        "HIDDEN": model.hidden,
        "DROPOUT": model.dropout,
        "ATTENTION": attention,
        "ATTENTION_AT": model.attention_at or tuple(range(1, len(model.widths) + 1)),
        "POSITION": model.position,
        "REDUCTION": run.config.reduction,
    }
