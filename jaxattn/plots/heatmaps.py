"""Attention heatmap: where the strongest channels of the last convolution are active."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn import heatmap
from jaxattn.plots import canvas
from jaxattn.records import Heatmap, Pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(pictures: Pictures, strongest: list[Heatmap], caption: str) -> "Figure":
    """The channels of highest mean activation, zoomed to each picture and laid over it.

    Args:
        pictures: N pictures, a row each.
        strongest: their maps, strongest first, a column each. The maps of one picture share one colour scale.
        caption: which run it is.
    """
    panels = []
    for i, image in enumerate(pictures.images):
        zoomed = np.stack([heatmap.zoom(one.values[i], *image.shape[:2]) for one in strongest])
        row = heatmap.stretch(zoomed.reshape(-1, image.shape[1])).reshape(zoomed.shape)
        titles = [f"{one.kind}\n{canvas.score_lines(one.scores, i)}" for one in strongest]
        panels.append(list(map(canvas.Panel, titles, row)))
    return canvas.gallery(
        f"Attention heatmap: the most active channels of {strongest[0].layer}",
        canvas.with_scores(caption, pictures),
        pictures,
        panels,
        {"label": "activation, one scale for each picture", "ends": ("least", "greatest")},
    )
