"""Class activation maps: where the evidence for a class lies."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn import heatmap
from jaxattn.plots import canvas
from jaxattn.records import Heatmap, Pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(pictures: Pictures, targets: np.ndarray, cams: list[Heatmap], caption: str) -> "Figure":
    """Grad-CAM and HiResCAM at each layer, laid over each picture, with what each is worth.

    Args:
        pictures: N pictures, a row each.
        targets: the class that is explained, int [N].
        cams: the maps, a column each; each is drawn from its least to its greatest value.
        caption: which run it is.
    """
    predicted = (targets == pictures.predicted).all()
    explained = "the predicted class" if predicted else canvas.names(pictures.classes)[targets[0]]
    panels = [
        [
            canvas.Panel(
                f"{cam.kind} {cam.layer}\n{canvas.score_lines(cam.scores, i)}",
                heatmap.over_picture(cam.values[i], *image.shape[:2]),
            )
            for cam in cams
        ]
        for i, image in enumerate(pictures.images)
    ]
    return canvas.gallery(
        f"Where the evidence for {explained} lies",
        canvas.with_scores(caption, pictures),
        pictures,
        panels,
        {"label": "evidence, each map on its own scale", "ends": ("least", "greatest")},
    )
