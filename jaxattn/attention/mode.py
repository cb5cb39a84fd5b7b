"""How a module learns whether it trains: by a field or an argument, under any of the names that Flax's modules use."""

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from jaxattn.attention.gate import Gate
from jaxattn.errors import InputError


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a Linen class, a partial of one, or a method accepts this argument."""
    return name in inspect.signature(function).parameters


def create(module: Callable[..., nn.Module], train: bool, name: str) -> nn.Module:
    """A module by a Linen class or a partial of one, whose fields say whether it trains.

    What its call takes as an argument is not set as a field, too: Flax's modules refuse both.
    """
    called = _method(module.func if isinstance(module, functools.partial) else module)
    return module(**_mode(module, train, without=_mode(called, train)), name=name)


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
    """What the method `gate` of a module gives for x [B, H, W, C], in training or evaluation mode."""
    return module.gate(_computed_once(module, x), **arguments(module, train))  # type: ignore[attr-defined]


def _computed_once(module, x):
    """x, which XLA must not compute again for the gradient of a module of the reader's own.

    With other rounding, no value would equal the maximum that was found, and that of `max` would be 0 / 0. Modules of
    this package take `layers.pooling.max_first`.
    """
    return x if type(module).__module__.startswith("jaxattn.") else jax.lax.optimization_barrier(x)


def arguments(module: nn.Module, train: bool) -> dict[str, bool]:
    """The arguments that tell the call of a module, or the `gate` of a `Gate`, whether it trains."""
    return _mode(_method(type(module)), train)


def _method(module):
    """The method that computes a module's output: of a plain `Gate`, whose call only multiplies, its `gate`."""
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
