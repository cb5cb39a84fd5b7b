"""How class-specific and how image-specific gates are, by depth, and over the epochs if they were recorded."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from jaxattn.explain.gates import Signs
from jaxattn.plots import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FINAL = "#440154"


def draw(signs: Mapping[str, Signs], history: Mapping[int, Mapping[str, Signs]], caption: str) -> "Figure":
    """Each gate's spread between class means and within a class, in the order of the network, in one panel each.

    Thin lines are earlier epochs.

    Args:
        signs: the vital signs of each gate that weights channels, first to last.
        history: those of earlier epochs, by epoch; may be empty.
        caption: which run it is.

    Raises:
        NothingToDrawError: if no gate weights channels.

    Source: arXiv:1709.01507, figure 6, which shows the means of single classes by channel: early gates treat classes
    alike, deep ones distinguish them. Here, one number for each gate covers all classes.
    """
    if not signs:
        raise canvas.NothingToDrawError(canvas.NO_CHANNEL_GATE)
    spreads = {"between class means": _between_classes, "within a class": lambda one: one.within_class}
    title = "Attention gates by depth: how much weights vary with the class, and within it"
    figure = canvas.figure(title, caption, (max(7.5, 0.5 * len(signs)), 3))
    panels = figure.subplots(1, 2, sharey=True)
    shades = dict(zip(sorted(history), np.linspace(0.85, 0.25, max(len(history), 1)), strict=False))
    for axis, (name, spread) in zip(panels, spreads.items(), strict=True):
        for epoch, shade in shades.items():
            values = [spread(history[epoch][gate]) if gate in history[epoch] else np.nan for gate in signs]
            axis.plot(values, color=str(shade), linewidth=1, label=_label(epoch, history))
        axis.plot([spread(one) for one in signs.values()], "o-", color=FINAL, linewidth=2, markersize=5, label="now")
        turned = {} if len(signs) < 5 else {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
        axis.set_xticks(range(len(signs)), list(signs), **turned)
        canvas.plain_axes(axis, name)
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel("standard deviation of a weight", fontsize=canvas.SMALL, color=canvas.INK)
    if history:
        panels[0].legend(fontsize=canvas.SMALL, labelcolor=canvas.INK, frameon=False)
    return canvas.finish(figure)


def _between_classes(one):
    return max(one.between_images**2 - one.within_class**2, 0) ** 0.5


def _label(epoch, history):
    """Only the first and the last epoch are named."""
    return f"epoch {epoch}" if epoch in (min(history), max(history)) else "_"
