"""Model randomisation test: a map that does not change with random weights does not show what was learned."""

from typing import TYPE_CHECKING

from jaxattn.explain.maps import over_image
from jaxattn.explain.score_table import text
from jaxattn.plots.gallery import Panel, gallery
from jaxattn.types import Predictions, ScoredMaps

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(predictions: Predictions, cams: list[ScoredMaps], caption: str) -> "Figure":
    """Class activation maps of the trained network beside those of one with randomised weights.

    Args:
        predictions: N images, one per row.
        cams: the maps; for each kind, only the last, deepest layer is drawn.
        caption: which run it is.

    Source: arXiv:1810.03292.
    """
    last = {one.kind: one for one in cams}.values()

    def pair(one, i):
        size, value = predictions.images.shape[1:3], float(one.scores.similarity[i])
        similarity = f"randomised weights\nrank correlation {text('similarity', value)}"
        return (
            Panel(f"{one.title}\ntrained weights\n", over_image(one.values[i], *size)),
            Panel(f"{one.title}\n{similarity}", over_image(one.randomised[i], *size)),
        )

    return gallery(
        "Model randomisation test: maps with trained and with randomised weights",
        f"{caption}\nA map whose rank correlation is near 1 would look like this whatever the network had learned.",
        predictions,
        [[panel for one in last for panel in pair(one, i)] for i in range(len(predictions.images))],
        {"label": "evidence, each map on its own scale", "ends": ("min", "max")},
    )
