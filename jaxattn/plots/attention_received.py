"""Self-attention: how much attention each position of the image receives."""

from typing import TYPE_CHECKING

from jaxattn.plots import canvas
from jaxattn.plots.gallery import weight_overlays
from jaxattn.types import Predictions, ScoredMaps

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(predictions: Predictions, attention_received: list[ScoredMaps], caption: str) -> "Figure":
    """The attention that each position receives from all positions and heads, as a multiple of the uniform share.

    Args:
        predictions: N images, one per row.
        attention_received: the maps, one per column.
        caption: which run it is.

    Raises:
        NothingToDrawError: if the network has no self-attention whose weights lie on a grid.
    """
    if not attention_received:
        raise canvas.NothingToDrawError(
            "nothing to draw: this network has no self-attention, or none whose weights lie on the grid of a map"
        )
    return weight_overlays(
        "Attention received by position", caption, predictions, attention_received, "× uniform share"
    )
