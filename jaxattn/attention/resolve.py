"""From the name of an attention module to the class that a network takes."""

import functools
import importlib
import inspect
from typing import Any

from flax import linen as nn

from jaxattn.attention import source
from jaxattn.attention.chain import Chain
from jaxattn.attention.gate import Gate
from jaxattn.attention.mode import takes
from jaxattn.attention.registry import ATTENTION, Attention
from jaxattn.errors import InputError, described, shortened

MAX_CHAINED = 20  # modules in a chain; compiling takes seconds for each


def resolve(name: str, reduction: int = 16) -> Attention:
    """The attention module for `CNN(attention=...)`, by name.

    Args:
        name: a key of `ATTENTION`; several joined by "+", which are applied in this order; or
            "package.module:ClassName" for your own Linen module from [B, H, W, C] to [B, H, W, C].
        reduction: channels per hidden unit, for modules that have a hidden layer; ignored by the others.

    Raises:
        InputError: if the name is unknown, cannot be imported or is not a Linen module, or reduction is below 1.
    """
    if reduction < 1:
        raise InputError(f"reduction must be at least 1, got {reduction}", "reduction")
    if name.count("+") >= MAX_CHAINED:
        raise InputError(
            f"{name[:30]}... must chain at most {MAX_CHAINED} modules, it has {name.count('+') + 1}", "attention"
        )
    modules = [_resolve_one(part, reduction) for part in name.split("+")]
    if len(modules) == 1:
        return modules[0]
    if None in modules:
        raise InputError(f"'none' cannot be chained: remove it from {name!r}", "attention")
    return functools.partial(Chain, tuple(modules))


def own_modules(name: str) -> list[str]:
    """The parts "package.module:Class" of an attention's name that are not from this package."""
    return [part for part in name.removeprefix("wide:").split("+") if is_own(part)]


def is_own(name: str) -> bool:
    """Whether a name is "package.module:Class", of a class that is not from this package."""
    return ":" in name and not name.startswith("jaxattn.")


def _resolve_one(name, reduction):
    if name.startswith("wide:"):
        raise InputError(f"{name!r} cannot be chained: it widens the network and has no module to chain", "attention")
    module = _own(name) if ":" in name else _look_up(name)
    if module is not None and takes(module, "reduction"):
        return functools.partial(module, reduction=reduction)
    return module


def _look_up(name):
    if name not in ATTENTION:
        raise InputError(
            f"unknown attention {shortened(name)}; known are {', '.join(ATTENTION)}, wide:NAME, NAME+NAME and "
            "package.module:ClassName"
        )
    return ATTENTION[name]


def _own(name):
    attribute = import_class(name, nn.Module, "attention")
    if attribute is Gate:
        raise InputError(f"attention {name!r} is the base class of modules, and has no gate; name a class that has one")
    return attribute


def import_class(name: str, base: type, what: str) -> Any:
    """A Linen class from "package.module:ClassName"; any error is reported in one line.

    Its source is read now, since the file may be edited while the class is in use.

    Args:
        name: of the class.
        base: what it must extend.
        what: what it is, for messages.

    Raises:
        InputError: if it cannot be imported, is not such a class, or cannot be created without arguments.
    """
    path, _, class_name = name.partition(":")
    try:
        attribute = getattr(importlib.import_module(path), class_name)
    except (Exception, SystemExit, GeneratorExit) as error:  # a user's module may raise anything while it is imported
        where = "; it is looked for in this folder and on PYTHONPATH" if isinstance(error, ModuleNotFoundError) else ""
        raise InputError(f"cannot import {what} {name!r}: {described(error)}{where}") from error
    if not (inspect.isclass(attribute) and issubclass(attribute, base)):
        wanted = "flax.linen.Module" if base is nn.Module else f"{base.__module__}.{base.__name__}"
        raise InputError(f"{what} {name!r} must be a class that extends {wanted}, got {attribute!r:.60}")
    needed = [
        field.name
        for field in inspect.signature(attribute).parameters.values()
        if field.default is field.empty and field.kind is not field.VAR_KEYWORD
    ]
    if needed:
        raise InputError(
            f"{what} {name!r} needs a default for its field {needed[0]!r}: it is created without arguments"
        )
    source.digest(attribute, path)
    return attribute
