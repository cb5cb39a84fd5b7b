"""Networks, one a file, and how one is made by name. Adding one is a file in this folder and a line in `NETWORKS`."""

import functools
from collections.abc import Callable
from typing import Any

from jaxattn.attention import resolve as resolve_attention
from jaxattn.attention.mode import takes
from jaxattn.attention.resolve import import_class
from jaxattn.errors import InputError, shortened
from jaxattn.networks.cnn import CNN
from jaxattn.networks.network import Network
from jaxattn.networks.placement import sites_from, usual_sites
from jaxattn.networks.resnet import ResNet
from jaxattn.networks.wide import WIDE, widened
from jaxattn.networks.wide_resnet import wide_resnet

variant = functools.partial
NETWORKS: dict[str, Callable[..., Network]] = {
    "cnn": CNN,
    "resnet20": variant(ResNet, blocks=(3, 3, 3)),
    "resnet32": variant(ResNet, blocks=(5, 5, 5)),
    "resnet56": variant(ResNet, blocks=(9, 9, 9)),
    "resnet110": variant(ResNet, blocks=(18, 18, 18)),
    "resnet20b": variant(ResNet, blocks=(3, 3, 3), projection=True),
    "resnet32b": variant(ResNet, blocks=(5, 5, 5), projection=True),
    "resnet56b": variant(ResNet, blocks=(9, 9, 9), projection=True),
    "resnet110b": variant(ResNet, blocks=(18, 18, 18), projection=True),
    "resnet18": variant(ResNet, blocks=(2, 2, 2, 2), widths=(64, 128, 256, 512), projection=True),
}


def resolve(name: str) -> Callable[..., Network]:
    """The network class, or a partial of it, by name.

    Args:
        name: a key of `NETWORKS`, "wrn-DEPTH-WIDTH" with a depth of 6 n + 4, or "package.module:Class" for a subclass
            of `Network` of your own.

    Raises:
        InputError: where the name is not known, or is not that of a network.
    """
    if ":" in name:
        kind = import_class(name, Network, "network")
        if kind is Network:
            raise InputError(f"network {name!r} is the base class of networks; name one that extends it", "network")
        return kind
    known = wide_resnet(name) or NETWORKS.get(name)
    if known is None:
        raise InputError(
            f"unknown network {shortened(name)}; known are {', '.join(NETWORKS)}, wrn-DEPTH-WIDTH with a depth of "
            "6 n + 4, and package.module:Class",
            "network",
        )
    return known


def create(
    attention: str,
    reduction: int,
    shape: tuple[int, int, int],
    network: str = "cnn",
    at: str | None = None,
    position: str | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> Network:
    """A network by name, with an attention module by name, or the plain one widened to match it ("wide:NAME").

    Args:
        attention: a name as `attention.resolve` takes it, or "wide:" and such a name.
        reduction: channels per hidden unit of the attention.
        shape: of an image, (H, W, 3).
        network: a name as `resolve` takes it.
        at: the sites with attention, as `placement.sites_from` takes them; None for the usual ones of the module.
        position: where in a block; None for the network's or the module's own.
        dropout: fraction dropped, in [0, 1).
        options: other fields of the network.

    Raises:
        InputError: where one of these is not known, or does not fit the network.
    """
    kind = resolve(network)
    if takes(kind, "dropout"):
        options["dropout"] = dropout
    elif dropout:
        raise InputError(f"dropout must be 0 with the network {network}, which drops nothing, got {dropout}", "dropout")
    name = attention.removeprefix(WIDE)
    module = resolve_attention(name, reduction)
    made = kind(attention=module, **options)
    made = made.clone(
        attention_at=usual_sites(made, _wish(module, "usual_sites", "all"))
        if at is None
        else sites_from(at, made.sites()),
        attention_position=_position(made, network, module, position),
    )
    if name == attention:
        return made
    if module is None:
        raise InputError(f"{attention!r} names no module whose parameters to match; name one", "attention")
    return widened(made, shape)


def _wish(module: Any, name: str, default: str) -> str:
    """What a module's class says of where it stands."""
    return getattr(module.func if isinstance(module, functools.partial) else module, name, default)


def _position(made: Network, network: str, module: Any, position: str | None) -> str:
    if position is None:
        wish = _wish(module, "usual_position", made.positions[0])
        return wish if wish in made.positions else made.positions[0]
    if position not in made.positions:
        raise InputError(
            f"attention_position must be {', '.join(made.positions)} in the network {network}, got {position!r}",
            "attention_position",
        )
    return position
