"""Mistakes: the most confident wrong predictions, and the least confident predictions."""

from typing import TYPE_CHECKING

from jaxattn.explain.selection import least_confident, worst_mistakes
from jaxattn.plots import canvas, gallery, labels
from jaxattn.types import Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 7


def draw(tested: Predictions, caption: str) -> "Figure":
    """A row of the worst mistakes and a row of the least confident predictions.

    Args:
        tested: all images of the test set, with their labels.
        caption: which run it is.
    """
    worst, unsure = worst_mistakes(tested, SHOWN), least_confident(tested, SHOWN)
    wrong, count = int((tested.predicted != tested.truth).sum()), len(tested.images)
    title = f"Most confident mistakes (top; {wrong:,} of {count:,} are wrong) and least confident predictions (bottom)"
    figure, axes = canvas.grid(2, len(unsure), title, caption, gallery.image_cell(tested.images, 2))
    for row, chosen in zip(axes, (worst, unsure), strict=True):
        for axis, index in zip(row, chosen, strict=False):
            gallery.show(axis, tested.images[index], labels.prediction(tested, index))
    if not len(worst):
        axes[0, 0].text(0, 0.5, "no mistakes", fontsize=canvas.SMALL, color=canvas.INK)
    return canvas.finish(figure)
