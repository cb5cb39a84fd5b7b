"""Attention modules by name. Adding one is a file here and a line in `ATTENTION`."""

import functools
import inspect
from collections.abc import Callable

from flax import linen as nn

from jaxattn.attention.gate import Gate
from jaxattn.attention.se import SqueezeExcitation
from jaxattn.errors import InputError

__all__ = ["ATTENTION", "Gate", "SqueezeExcitation", "resolve"]

ATTENTION: dict[str, Callable[..., nn.Module] | None] = {
    "none": None,
    "se": SqueezeExcitation,
}


def resolve(name: str, reduction: int = 16) -> Callable[..., nn.Module] | None:
    """What `CNN(attention=...)` takes, by name.

    Args:
        name: a key of `ATTENTION`.
        reduction: given to modules that have a hidden width to set; ignored by the rest.

    Raises:
        InputError: where the name is not known.
    """
    if name not in ATTENTION:
        raise InputError(f"unknown attention {name!r}; known are {', '.join(ATTENTION)}")
    module = ATTENTION[name]
    if module is not None and "reduction" in inspect.signature(module).parameters:
        return functools.partial(module, reduction=reduction)
    return module
