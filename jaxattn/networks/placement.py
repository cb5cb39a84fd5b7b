"""Where attention is placed in a network: sites from a text, and the usual sites of a paper's module."""

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

from jaxattn.attention.blend import blended
from jaxattn.errors import InputError, shortened
from jaxattn.networks.network import Network, Site

REPLACING = "conv2"  # the position at which attention stands in place of a convolution
# Values of an attention module's attribute `usual_sites`, besides "all".
BOTTLENECKS, LAST = "bottlenecks", "last-stage"


class Placement(NamedTuple):
    """Where attention is placed, and how it starts.

    Attributes:
        at: the sites, as `sites_from` takes them; None for the module's usual ones.
        position: where in a block; None for the module's usual one, if the network has it, else the network's.
        start: "identity" for attention that starts as the identity (`attention.blend`), else "usual". It cannot stand
            in place of a convolution: the network would not start as it was.
    """

    at: str | None = None
    position: str | None = None
    start: str = "usual"


DEFAULT_PLACEMENT = Placement()


def place_attention(network: Network, name: str, placement: Placement) -> Network:
    """A network with its attention placed.

    Args:
        network: with its attention at any sites.
        name: of the network, for messages.
        placement: where to place the attention.

    Raises:
        InputError: if the network has no such site or position, or the attention cannot start so there.
    """
    module, sites, position = network.attention, network.sites(), placement.position
    is_identity = module is not None and placement.start == "identity"
    kind = module.func if isinstance(module, functools.partial) else module
    if position is None:
        usual = getattr(kind, "usual_position", None)
        fits = usual in network.positions and not (is_identity and usual == REPLACING)
        position = usual if fits else network.positions[0]
    if position not in network.positions:
        raise InputError(
            f"attention_position must be {', '.join(network.positions)} in the network {name}, got {position!r}",
            "attention_position",
        )
    if is_identity and position == REPLACING:
        raise InputError(
            f"attention_start identity needs another position than {REPLACING}, where attention stands in place of a "
            f"convolution; choose {network.positions[0]}",
            "attention_position",
        )
    usual = usual_sites(sites, getattr(kind, "usual_sites", "all"))
    return network.clone(
        attention=blended(module) if is_identity else module,
        attention_at=usual if placement.at is None else sites_from(placement.at, sites),
        attention_position=position,
    )


def sites_from(text: str, sites: Sequence[Site]) -> tuple[int, ...]:
    """Numbers of sites, from 1 and in order, from a text such as "1,3", "2-5", "block3", "stage2", "last" or "ends".

    Args:
        text: parts separated by commas: numbers, ranges of numbers, names of sites, stages, "all", "last" for the last
            site, and "ends" for the last one of each stage.
        sites: those of the network.

    Raises:
        InputError: if a part names no site.
    """
    known = {"all": range(1, len(sites) + 1), "last": [len(sites)], "ends": _ends(sites)}
    for number, site in enumerate(sites, 1):
        known[str(number)] = known[site.name] = [number]
        known[f"stage{site.stage}"] = [n for n, one in enumerate(sites, 1) if one.stage == site.stage]
    chosen: set[int] = set()
    for part in (part.strip() for part in text.split(",")):
        bounds = re.fullmatch(r"(\d{1,6})-(\d{1,6})", part)
        if bounds and 1 <= int(bounds[1]) <= int(bounds[2]) <= len(sites):
            chosen.update(range(int(bounds[1]), int(bounds[2]) + 1))
        elif part in known:
            chosen.update(known[part])
        else:
            names = ", ".join(name for name in known if not name.isdigit())
            raise InputError(
                f"attention_at must be sites from 1 to {len(sites)}, ranges such as 1-{len(sites)}, or {names}, "
                f"separated by commas, got {shortened(text)}",
                "attention_at",
            )
    return tuple(sorted(chosen))


def usual_sites(sites: Sequence[Site], wanted: str) -> tuple[int, ...]:
    """The default sites of a module: "all" sites, the "bottlenecks", or the "last-stage".

    Bottlenecks are where the map becomes smaller next: the ends of all stages but the last. In a network whose stages
    have one site each, such as the tutorial's, which also has a pool behind the last, they are always all sites.
    """
    everywhere = tuple(range(1, len(sites) + 1))
    if len({site.stage for site in sites}) == len(sites):
        return everywhere
    if wanted == BOTTLENECKS:
        return tuple(_ends(sites)[:-1] or _ends(sites))
    return sites_from(f"stage{sites[-1].stage}", sites) if wanted == LAST else everywhere


def _ends(sites):
    """The last site of each stage."""
    return sorted({site.stage: number for number, site in enumerate(sites, 1)}.values())
