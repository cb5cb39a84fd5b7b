"""Self-attention: which places of the picture are looked at."""

from typing import TYPE_CHECKING

from jaxattn.plots import canvas
from jaxattn.plots.gate_maps import overlays
from jaxattn.records import Heatmap, Pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(pictures: Pictures, attended: list[Heatmap], caption: str) -> "Figure":
    """How much each place is looked at by all places and heads, as a multiple of an even look.

    Args:
        pictures: N pictures, a row each.
        attended: the maps, a column each.
        caption: which run it is.

    Raises:
        NothingToDrawError: where the network has no self-attention.
    """
    if not attended:
        raise canvas.NothingToDrawError("no self-attention to draw: no place of this network looks at other places")
    return overlays("Which places self-attention looks at", caption, pictures, attended, "times an even look")
