"""Confusion matrix, and the accuracy of each class."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.explain.groups import confusion, grouped
from jaxattn.metrics import per_class_accuracy
from jaxattn.plots import canvas
from jaxattn.types import Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(tested: Predictions, caption: str) -> "Figure":
    """Fractions of each class's images by predicted class, and its accuracy with a 95% interval.

    With many classes: of their superclasses, or of those confused most (`explain.groups`).

    Args:
        tested: all images of the test set, with their labels.
        caption: which run it is.
    """
    groups = grouped(tested)
    counts, rows = confusion(tested, groups), len(groups.names)
    total = counts.sum(axis=1, keepdims=True)
    shares = np.where(total, counts / np.maximum(total, 1), np.nan)  # a row without test images stays blank
    room = float(np.clip(rows * 0.36, 2, 6))
    accuracy = np.mean(tested.predicted == tested.truth)
    title = f"Confusion matrix of {groups.about}: {len(tested.images):,} test images, accuracy {accuracy:.1%}"
    figure = canvas.figure(title, caption, (room + 5.2, room + 1.2))
    left, right = figure.subplots(1, 2, width_ratios=(room + 1, 2.4))
    left.imshow(shares, cmap=canvas.COLOURS, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    canvas.class_ticks(left.yaxis, groups.short, room)
    canvas.class_ticks(left.xaxis, groups.columns, room, rotation=90)
    left.set_ylabel(f"true {groups.kind}", fontsize=canvas.SMALL, color=canvas.INK)
    left.set_xlabel(f"predicted {groups.kind}", fontsize=canvas.SMALL, color=canvas.INK)
    for row, column in np.argwhere(counts):
        colour = "black" if shares[row, column] > 0.6 else "white"
        text = f"{100 * shares[row, column]:.0f}"
        left.text(column, row, text, ha="center", va="center", fontsize=canvas.SMALL - 1, color=colour)
    canvas.colour_bar(figure, left, f"fraction of the true {groups.kind}, % in cells")
    _bars(right, counts, groups, room)
    return canvas.finish(figure)


def _bars(axis, counts, groups, room):
    accuracy, interval = per_class_accuracy(counts)
    positions = np.arange(len(groups.names))
    axis.barh(positions, accuracy, color="#21918c", height=0.7)
    seen = counts.any(axis=1)
    axis.hlines(positions[seen], *interval[seen].T, color=canvas.INK, linewidth=1)
    canvas.plain_axes(axis, f"accuracy by {groups.kind},\nwith 95% interval")
    canvas.class_ticks(axis.yaxis, groups.short, room)
    axis.set_ylim(len(groups.names) - 0.5, -0.5)
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter("{x:.0%}")
    axis.set_xticks([0, 0.5, 1])
    axis.grid(visible=False, axis="y")
