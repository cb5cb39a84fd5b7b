"""Spatial gates: the weight of each position, over the image."""

from typing import TYPE_CHECKING

from jaxattn.plots import canvas
from jaxattn.plots.gallery import weight_overlays
from jaxattn.types import Predictions, ScoredMaps

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(predictions: Predictions, gate_maps: list[ScoredMaps], caption: str) -> "Figure":
    """Each gate that weights positions, overlaid on each image, from 0 to 1; if by channel too, its mean over channels.

    Args:
        predictions: N images, one per row.
        gate_maps: the weights, one per column.
        caption: which run it is.

    Raises:
        NothingToDrawError: if no gate weights positions.
    """
    if not gate_maps:
        raise canvas.NothingToDrawError("nothing to draw: no gate of this network weights positions")
    return weight_overlays("Gate weights by position", caption, predictions, gate_maps, "weight")
