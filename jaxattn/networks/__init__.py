"""Networks, one per file, created by name. To add one, add a file to this folder and a line to `NETWORKS`."""

import functools
from collections.abc import Callable
from typing import Any

from jaxattn.attention import resolve as resolve_attention
from jaxattn.attention.mode import takes
from jaxattn.attention.resolve import import_class
from jaxattn.errors import InputError, shortened
from jaxattn.networks.airbench import Airbench
from jaxattn.networks.cnn import CNN
from jaxattn.networks.network import Network
from jaxattn.networks.placement import DEFAULT_PLACEMENT, Placement, place_attention
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
    "airbench94": Airbench,
}


def resolve(name: str) -> Callable[..., Network]:
    """The network class, or a partial of it, by name.

    Args:
        name: a key of `NETWORKS`, "wrn-DEPTH-WIDTH" with a depth of 6 n + 4, or "package.module:Class" for your own
            subclass of `Network`.

    Raises:
        InputError: if the name is unknown, or is not that of a network.
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
    placement: Placement = DEFAULT_PLACEMENT,
    **options: Any,
) -> Network:
    """A network by name, with an attention module by name, or the plain network widened to match it ("wide:NAME").

    Args:
        attention: a name as `attention.resolve` takes it, or "wide:" followed by such a name.
        reduction: channels per hidden unit of the attention.
        shape: of an image, (H, W, 3).
        network: a name as `resolve` takes it.
        placement: where attention is placed, and how it starts.
        options: other fields of the network; networks without dropout also accept a dropout of 0.

    Raises:
        InputError: if one of these is unknown, or does not fit the network.
    """
    kind = resolve(network)
    if not takes(kind, "dropout") and (dropout := options.pop("dropout", 0)):
        raise InputError(f"dropout must be 0 with the network {network}, which has none, got {dropout}", "dropout")
    module = resolve_attention(attention.removeprefix(WIDE), reduction)
    built = place_attention(kind(attention=module, **options), network, placement)
    if not attention.startswith(WIDE):
        return built
    if module is None:
        raise InputError(f"{attention!r} needs the name of a module whose parameters to match", "attention")
    return widened(built, shape)
