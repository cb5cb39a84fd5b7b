"""How a module is told whether it trains: by a field or an argument, under any of the names that Flax's modules use."""

import functools
import inspect
import re
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.errors import InputError

# Names that say whether a module trains, beside those that it is told.
MODE = re.compile(
    "((is|in|for)_)?(train|training|eval|evaluate|evaluation|infer|inference|test|testing|deterministic)(_mode|_phase)?"
)


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a Linen class, a partial of one, or a method accepts this argument."""
    return name in inspect.signature(function).parameters


def create(module: Callable[..., nn.Module], train: bool, name: str) -> nn.Module:
    """A module from a Linen class or a partial of one, with the fields that tell it whether it trains.

    What its call takes as an argument is not also set as a field: Flax's modules refuse both.

    Raises:
        InputError: if it seems to ask for that under another name.
    """
    kind = module.func if isinstance(module, functools.partial) else module
    called = _method(kind)
    given = _mode(called, train)
    fields = _mode(module, train, without=given)
    if not given and not fields:
        _check_asks_nothing(kind, called, module.keywords if isinstance(module, functools.partial) else {})
    return module(**fields, name=name)


def _check_asks_nothing(kind, called, given):
    """Checks that a module which is not told whether it trains does not ask for it: it would always be evaluated."""
    for what, function in (("argument", called), ("field", kind)):
        for name, parameter in inspect.signature(function).parameters.items():
            if name not in given and _is_boolean(parameter) and MODE.fullmatch(name.lower()):
                raise InputError(
                    f"{kind.__name__} has the {what} {name}, which is never set: name it train if it says whether the "
                    "module trains, or give it another name",
                    "attention",
                )


def _is_boolean(parameter):
    return isinstance(parameter.default, bool) or str(parameter.annotation) in ("bool", "<class 'bool'>", "bool | None")


def attend(module: nn.Module, x: Float[Array, "B H W C"], train: bool) -> Float[Array, "..."]:
    """The output [...] of a module for x [B, H, W, C], in training or evaluation mode.

    Raises:
        InputError: if it is not one array of floating-point numbers.
    """
    y = module(_computed_once(module, x), **arguments(module, train))
    if not isinstance(y, Array):
        raise InputError(f"attention must return one array, {type(module).__name__} returns a {type(y).__name__}")
    if not jnp.issubdtype(y.dtype, jnp.floating):
        raise InputError(f"attention must return floating-point numbers, {type(module).__name__} returns {y.dtype}")
    return y


def gate(module: nn.Module, x: Float[Array, "B H W C"], train: bool) -> Any:
    """What the method `gate` of a module returns for x [B, H, W, C], in training or evaluation mode."""
    return module.gate(_computed_once(module, x), **arguments(module, train))  # type: ignore[attr-defined]


def _computed_once(module, x):
    """x, behind a barrier for a user's own module, so that XLA does not recompute it for the gradient.

    Recomputed with other rounding, no value might equal the maximum, and the gradient of `max` would be 0 / 0. Modules
    of this package use `layers.pooling.max_first` instead.
    """
    return x if type(module).__module__.startswith("jaxattn.") else jax.lax.optimization_barrier(x)


def arguments(module: nn.Module, train: bool) -> dict[str, bool]:
    """The arguments that tell the call of a module, or the `gate` of a `Gate`, whether it trains."""
    return _mode(_method(type(module)), train)


def _method(module):
    """The method that computes a module's output: `gate` if the call is that of `Gate`, which only multiplies."""
    return module.gate if module.__call__ is Gate.__call__ else module.__call__


def _mode(function, train: bool, without: Collection[str] = ()) -> dict[str, bool]:
    names = {
        "train": train,
        "training": train,
        "is_training": train,
        "deterministic": not train,
        "use_running_average": not train,
    }
    return {name: value for name, value in names.items() if takes(function, name) and name not in without}
