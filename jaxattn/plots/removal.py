"""Rank and remove: accuracy as channels are set to zero by gate, by activation, and at random."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.plots import canvas
from jaxattn.types import ORDERS, Removal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3
LABELS = {"gate": "by weight", "activation": "by activation", "random": "at random"}
STYLES = {"gate": ("#440154", "-"), "activation": ("#2a788e", "--"), "random": ("#7a7f87", ":")}


def draw(removals: dict[str, Removal], caption: str) -> "Figure":
    """A panel for each site: accuracy against the fraction of its channels that are removed, the lowest first.

    Args:
        removals: by site.
        caption: which run it is.

    Raises:
        NothingToDrawError: if no gate weights channels.
    """
    if not removals:
        raise canvas.NothingToDrawError(canvas.NO_CHANNEL_GATE)
    columns = min(COLUMNS, len(removals))
    rows = -(-len(removals) // columns)
    title = "Rank and remove: accuracy without the lowest channels of a site"
    images = next(iter(removals.values())).images
    note = f"{images:,} images. Over random: area between the curves, points. Above 0, the order finds what is needed."
    figure = canvas.figure(title, f"{caption}\n{note}", (max(columns * 3.1, 7.5), rows * 2.7))
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis, (site, one) in zip(axes.flat, removals.items(), strict=False):
        for order, accuracy in zip(ORDERS, one.accuracy, strict=True):
            colour, style = STYLES[order]
            axis.plot(100 * one.fractions, 100 * accuracy, style, color=colour, linewidth=1.5, label=LABELS[order])
        over = "\n".join(f"{LABELS[order]}: {one.over_random(order):+.1f} over random" for order in ORDERS[:-1])
        canvas.plain_axes(axis, f"{site}\n{over}", "channels removed, %")
        axis.set_ylim(0, 100 * max(1.05 * np.max(one.accuracy), 0.1))
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy, %", fontsize=canvas.SMALL, color=canvas.INK)
    for axis in axes.flat[len(removals) :]:
        axis.set_visible(False)
    axes[0, 0].legend(loc="lower left", fontsize=canvas.SMALL, labelcolor=canvas.INK, frameon=False)
    return canvas.finish(figure)
