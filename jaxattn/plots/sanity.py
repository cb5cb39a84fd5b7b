"""Sanity check: a map that does not change when the weights are random says nothing."""

from typing import TYPE_CHECKING

from jaxattn import heatmap
from jaxattn.plots import canvas
from jaxattn.records import Heatmap, Pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(pictures: Pictures, cams: list[Heatmap], caption: str) -> "Figure":
    """Class activation maps of the trained network beside those of one with random weights.

    Args:
        pictures: N pictures, a row each.
        cams: the maps; of each kind the last, deepest layer is drawn.
        caption: which run it is.
    """
    last = {cam.kind: cam for cam in cams}.values()

    def pair(cam, i):
        size, name = pictures.images.shape[1:3], f"{cam.kind} {cam.layer}"
        likeness = f"random weights\nrank correlation {canvas.decimals(cam.scores.agreement[i])}"
        return (
            canvas.Panel(f"{name}\ntrained weights\n", heatmap.over_picture(cam.values[i], *size)),
            canvas.Panel(f"{name}\n{likeness}", heatmap.over_picture(cam.unlearned[i], *size)),
        )

    return canvas.gallery(
        "Does the map depend on what was learned? With trained and with random weights",
        f"{caption}\nA map whose rank correlation is near 1 would look like this whatever the network had learned.",
        pictures,
        [[panel for cam in last for panel in pair(cam, i)] for i in range(len(pictures.images))],
        {"label": "evidence, each map on its own scale", "ends": ("least", "greatest")},
    )
