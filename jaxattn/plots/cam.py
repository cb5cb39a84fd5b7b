"""Class activation maps: where the evidence for a class lies."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.explain.maps import over_image
from jaxattn.plots import labels
from jaxattn.plots.gallery import MAX_COLUMNS, Panel, gallery
from jaxattn.types import Predictions, ScoredMaps

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(predictions: Predictions, targets: np.ndarray, cams: list[ScoredMaps], caption: str) -> "Figure":
    """Grad-CAM, HiResCAM and LayerCAM at each layer, overlaid on each image, with their scores.

    Args:
        predictions: N images, one per row.
        targets: the explained class, int [N].
        cams: the maps, kind by kind; each is drawn from its minimum to its maximum. If they do not fit into one row,
            each kind has its own.
        caption: which run it is.
    """
    is_predicted = (targets == predictions.predicted).all()
    explained = "the predicted class" if is_predicted else labels.class_names(predictions.classes)[targets[0]]
    panels = [
        [
            Panel(f"{one.title}\n{labels.scores(one.scores, i)}", over_image(one.values[i], *image.shape[:2]))
            for one in cams
        ]
        for i, image in enumerate(predictions.images)
    ]
    return gallery(
        f"Class activation maps for {explained}",
        labels.with_scores(caption, predictions),
        predictions,
        panels,
        {"label": "evidence, each map on its own scale", "ends": ("min", "max")},
        MAX_COLUMNS - 1 if len(cams) < MAX_COLUMNS else min(len({one.layer for one in cams}), MAX_COLUMNS - 1),
    )
