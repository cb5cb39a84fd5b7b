"""Which parameters an ingredient of a recipe acts on."""

import re
from collections.abc import Callable
from typing import Any

import jax

from jaxattn.networks.network import Group, Network
from jaxattn.tree import keys_of

KERNELS = (Group.FIRST, Group.CONVOLUTION, Group.HIDDEN, Group.HEAD)


def of_group(model: Network, *groups: Group) -> Callable[[Any], Any]:
    """The function from parameters to a tree of booleans: which of them are in one of these groups."""
    return lambda params: jax.tree.map(lambda group: group in groups, model.groups(params))


def decayed(model: Network) -> Callable[[Any], Any]:
    """The function from parameters to a tree of booleans: which of them weight decay acts on.

    These are the kernels of convolutions and dense layers that are trained, and whatever an attention module calls
    "kernel", as Flax's layers do.
    """

    def is_decayed(path, group):
        *module, name = keys_of(path)
        of_attention = group == Group.ATTENTION and name == "kernel"
        return of_attention or (group in KERNELS and tuple(module) != model.frozen)

    return lambda params: jax.tree.map_with_path(is_decayed, model.groups(params))


def named(chosen: Any) -> tuple[str, ...]:
    """The names of the parameters that are True in a tree of booleans [...].

    Names that differ only in numbers become one name, with stars for the numbers, and the count in brackets.
    """
    names = ["/".join(keys_of(path)) for path, is_chosen in jax.tree.leaves_with_path(chosen) if is_chosen]
    patterns = [re.sub(r"\d+", "*", name) for name in names]
    return tuple(
        names[patterns.index(pattern)] if patterns.count(pattern) == 1 else f"{pattern} ({patterns.count(pattern)})"
        for pattern in dict.fromkeys(patterns)
    )
