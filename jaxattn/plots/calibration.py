"""Calibration: whether predictions with 80 % confidence are correct in 80 of 100 cases."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.metrics import reliability
from jaxattn.plots import canvas
from jaxattn.types import Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(tested: Predictions, caption: str) -> "Figure":
    """The reliability diagram, and below it how many predictions each bin holds.

    Args:
        tested: all images of the test set, with their labels.
        caption: which run it is.
    """
    bins = reliability(tested.probabilities, tested.truth)
    title = f"Calibration: expected calibration error (ECE) {bins.error:.1%}"
    figure = canvas.figure(title, caption, (6.2, 4.6))
    above, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    width = np.diff(bins.edges)
    filled = bins.count > 0
    middle = bins.edges[:-1] + width / 2
    above.bar(middle[filled], bins.accuracy[filled], width[filled] * 0.94, color="#21918c", label="accuracy")
    above.plot([0, 1], [0, 1], color="0.5", linewidth=1, linestyle="--", label="perfectly calibrated")
    above.plot(
        bins.confidence[filled], bins.accuracy[filled], "o", color="#440154", markersize=3.5, label="mean confidence"
    )
    canvas.plain_axes(above, "", "", "accuracy")
    above.legend(fontsize=canvas.SMALL, frameon=False, loc="upper left")
    above.set_xlim(0, 1)
    above.set_ylim(0, 1.02)
    below.bar(middle, bins.count / bins.count.sum(), width * 0.94, color="0.6")
    canvas.plain_axes(below, "", "confidence: probability of the predicted class", "predictions")
    for axis in (above.yaxis, below.yaxis, below.xaxis):
        axis.set_major_formatter("{x:.0%}")
    return canvas.finish(figure)
