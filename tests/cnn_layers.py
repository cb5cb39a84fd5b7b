"""The layers and gates of the tutorial's network, by kind and block."""

from jaxattn.types import Layer

KINDS = ("conv", "norm", "attention", "block")


def layer(kind, block, path=""):
    """The layer such as "conv1", or the gate "block1/channel" of path "/channel"."""
    place = "block" if path else kind
    return Layer(4 * (block - 1) + KINDS.index(place) + 1, f"{kind}{block}{path}", f"block_{block}")
