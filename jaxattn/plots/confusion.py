"""Confusion matrix, and the accuracy of each class."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.metrics import confusion_matrix, per_class_accuracy
from jaxattn.plots import canvas
from jaxattn.types import Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERS = 20  # classes up to which cells hold a number


def draw(tested: Predictions, caption: str) -> "Figure":
    """Fractions of each class's images by predicted class, and its accuracy with a 95% interval.

    Args:
        tested: all images of the test set, with their labels.
        caption: which run it is.
    """
    classes = len(tested.classes)
    counts = confusion_matrix(tested.predicted, tested.truth, classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    room = float(np.clip(classes * 0.36, 2, 6))
    title = f"Confusion matrix: {len(tested.images):,} test images, accuracy {np.trace(counts) / counts.sum():.1%}"
    figure = canvas.figure(title, caption, (room + 5.2, room + 1.2))
    left, right = figure.subplots(1, 2, width_ratios=(room + 1, 2.4))
    left.imshow(shares, cmap=canvas.COLOURS, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    canvas.class_ticks(left.yaxis, tested.classes, room)
    canvas.class_ticks(left.xaxis, tested.classes, room, rotation=90)
    left.set_ylabel("true class", fontsize=canvas.SMALL, color=canvas.INK)
    left.set_xlabel("predicted class", fontsize=canvas.SMALL, color=canvas.INK)
    if classes <= NUMBERS:
        for row, column in np.argwhere(counts):
            colour = "black" if shares[row, column] > 0.6 else "white"
            text = f"{100 * shares[row, column]:.0f}"
            left.text(column, row, text, ha="center", va="center", fontsize=canvas.SMALL - 1, color=colour)
    canvas.colour_bar(figure, left, "fraction of the true class" + (", % in cells" if classes <= NUMBERS else ""))
    _bars(right, counts, tested.classes, room)
    return canvas.finish(figure)


def _bars(axis, counts, classes, room):
    accuracy, interval = per_class_accuracy(counts)
    positions = np.arange(len(classes))
    axis.barh(positions, accuracy, color="#21918c", height=0.7)
    seen = counts.any(axis=1)
    axis.hlines(positions[seen], *interval[seen].T, color=canvas.INK, linewidth=1)
    canvas.plain_axes(axis, "accuracy by class,\nwith 95% interval")
    canvas.class_ticks(axis.yaxis, classes, room)
    axis.set_ylim(len(classes) - 0.5, -0.5)
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter("{x:.0%}")
    axis.set_xticks([0, 0.5, 1])
    axis.grid(visible=False, axis="y")
