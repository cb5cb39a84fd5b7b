"""Mistakes: the pictures on which the network is most surely wrong, and those on which it is least sure."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.plots import canvas
from jaxattn.records import Pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 7


def draw(tested: Pictures, caption: str) -> "Figure":
    """A row of the worst mistakes and a row of the least sure answers.

    Args:
        tested: all pictures of the test set, with their labels.
        caption: which run it is.
    """
    worst, unsure = worst_mistakes(tested, SHOWN), least_sure(tested, SHOWN)
    wrong = int((tested.predicted != tested.labels).sum())
    title = f"Worst mistakes (above; of {wrong:,} among {len(tested.labels):,}) and least sure answers (below)"
    made, axes = canvas.grid(2, len(unsure), title, caption, canvas.picture_cell(tested.images, 2))
    for row, chosen in zip(axes, (worst, unsure), strict=True):
        for axis, index in zip(row, chosen, strict=False):
            canvas.picture(axis, tested.images[index], canvas.verdict(tested, index))
    if not len(worst):
        axes[0, 0].text(0, 0.5, "not one mistake", fontsize=canvas.SMALL, color=canvas.INK)
    return canvas.finish(made)


def worst_mistakes(tested: Pictures, count: int) -> np.ndarray:
    """Places of the wrong answers given with the highest probability, worst first: int [n], n at most `count`."""
    sure = tested.probabilities.max(axis=1)
    wrong = np.flatnonzero(tested.predicted != tested.labels)
    return wrong[np.argsort(-sure[wrong], kind="stable")][:count]


def least_sure(tested: Pictures, count: int) -> np.ndarray:
    """Places of the answers given with the lowest probability, least sure first: int [n], n at most `count`."""
    return np.argsort(tested.probabilities.max(axis=1), kind="stable")[:count]
