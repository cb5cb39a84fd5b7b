"""Gates by place: what spatial attention weighs up, over the picture."""

from typing import TYPE_CHECKING

from jaxattn import heatmap
from jaxattn.plots import canvas
from jaxattn.plots.gate_profiles import gate_limits
from jaxattn.records import Heatmap, Pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(pictures: Pictures, gate_maps: list[Heatmap], caption: str) -> "Figure":
    """Each gate that weighs places, laid over each picture, from 0 to 1; of one by place and channel, its mean.

    Args:
        pictures: N pictures, a row each.
        gate_maps: the weights, a column each.
        caption: which run it is.

    Raises:
        NothingToDrawError: where no gate weighs places.
    """
    if not gate_maps:
        raise canvas.NothingToDrawError("no gates to draw: nothing in this network weighs places of the picture")
    return overlays("What the gates weigh, place by place", caption, pictures, gate_maps, "weight")


def overlays(title: str, caption: str, pictures: Pictures, maps: list[Heatmap], label: str) -> "Figure":
    """Maps of weights over N pictures, all on the scale that `gate_limits` gives, with their range and scores.

    Args:
        title, caption: as of `canvas.figure`.
        pictures: N pictures, a row each.
        maps: a column each.
        label: of the bar of colours.
    """
    panels = []
    for i, image in enumerate(pictures.images):
        zoomed = [heatmap.zoom(one.values[i], *image.shape[:2]) for one in maps]
        titles = [
            f"{one.layer}\n{one.values[i].min():.3g} to {one.values[i].max():.3g}\n{canvas.score_lines(one.scores, i)}"
            for one in maps
        ]
        panels.append(list(map(canvas.Panel, titles, zoomed)))
    limits = gate_limits([one.values for one in maps])
    return canvas.gallery(
        title, canvas.with_scores(caption, pictures), pictures, panels, {"label": label, "limits": limits}
    )
