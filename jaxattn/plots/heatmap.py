"""Attention heatmap: where the strongest channels of the last convolution are active."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.explain.maps import stretch, zoom
from jaxattn.plots import labels
from jaxattn.plots.gallery import Panel, gallery
from jaxattn.types import Predictions, ScoredMaps

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(predictions: Predictions, strongest: list[ScoredMaps], caption: str) -> "Figure":
    """The channels of highest mean activation, resized to each image and overlaid on it.

    Args:
        predictions: N images, one per row.
        strongest: their maps, strongest first, one per column. The maps of one image share one colour scale.
        caption: which run it is.
    """
    panels = []
    for i, image in enumerate(predictions.images):
        zoomed = np.stack([zoom(one.values[i], *image.shape[:2]) for one in strongest])
        row = stretch(zoomed.reshape(-1, image.shape[1])).reshape(zoomed.shape)
        titles = [f"{one.kind}\n{labels.scores(one.scores, i)}" for one in strongest]
        panels.append(list(map(Panel, titles, row)))
    return gallery(
        f"Attention heatmap: the most active channels of {strongest[0].layer}",
        labels.with_scores(caption, predictions),
        predictions,
        panels,
        {"label": "activation, one scale for each image", "ends": ("min", "max")},
    )
