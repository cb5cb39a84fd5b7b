"""Calibration: whether answers given with 80 % are right in 80 of 100 cases."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.plots import canvas
from jaxattn.records import Pictures
from jaxattn.scores import reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(tested: Pictures, caption: str) -> "Figure":
    """The reliability diagram, with how many answers lie in each bin below it.

    Args:
        tested: all pictures of the test set, with their labels.
        caption: which run it is.
    """
    found = reliability(tested.probabilities, tested.labels)
    title = f"Can its confidence be believed? Calibration error (ECE) {found.error:.1%}"
    made = canvas.figure(title, caption, (6.2, 4.6))
    above, below = made.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    width = np.diff(found.edges)
    filled = found.count > 0
    middle = found.edges[:-1] + width / 2
    above.bar(middle[filled], found.accuracy[filled], width[filled] * 0.94, color="#21918c", label="accuracy")
    above.plot([0, 1], [0, 1], color="0.5", linewidth=1, linestyle="--", label="perfectly calibrated")
    above.plot(
        found.confidence[filled], found.accuracy[filled], "o", color="#440154", markersize=3.5, label="mean confidence"
    )
    canvas.plain_axes(above, "", "", "fraction right")
    above.legend(fontsize=canvas.SMALL, frameon=False, loc="upper left")
    above.set_xlim(0, 1)
    above.set_ylim(0, 1.02)
    below.bar(middle, found.count / found.count.sum(), width * 0.94, color="0.6")
    canvas.plain_axes(below, "", "confidence: probability of the answer", "share of answers")
    for axis in (above.yaxis, below.yaxis, below.xaxis):
        axis.set_major_formatter("{x:.0%}")
    return canvas.finish(made)
