"""Deletion and insertion: how fast the probability changes as a map's highest pixels are removed or inserted."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.explain.faithfulness import area
from jaxattn.plots import canvas
from jaxattn.types import MapKind, ScoredMaps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BETTER = {"deletion": "a good map falls early", "insertion": "a good map rises early"}


def draw(scored: list[ScoredMaps], caption: str) -> "Figure":
    """Mean curves of deletion and insertion for each kind of map (a row each) at each layer, against random order.

    Args:
        scored: maps of N images; kind "chance" is pixels in random order.
        caption: which run it is.
    """
    chance = [one for one in scored if one.kind == MapKind.CHANCE]
    kinds = list(dict.fromkeys(one.kind for one in scored if one.kind != MapKind.CHANCE))
    title = f"Deletion and insertion: mean curves over {len(scored[0].values)} images"
    figure = canvas.figure(title, caption, (8.5, 2.3 * len(kinds)))
    axes = figure.subplots(len(kinds), 2, squeeze=False, sharex=True, sharey=True)
    for row, kind in zip(axes, kinds, strict=True):
        members = [one for one in scored if one.kind == kind]
        for axis, what in zip(row, BETTER, strict=True):
            _curves(axis, what, members, chance)
            canvas.plain_axes(axis, f"{kind}: {what} ({BETTER[what]})")
            axis.legend(fontsize=canvas.SMALL - 1, frameon=False, loc="upper left", bbox_to_anchor=(1, 1.05))
        row[0].set_ylabel("probability", fontsize=canvas.SMALL, color=canvas.INK)
    for axis in axes[-1]:
        axis.set_xlabel("fraction of the pixels", fontsize=canvas.SMALL, color=canvas.INK)
        axis.xaxis.set_major_formatter("{x:.0%}")
        axis.set_ylim(0, 1.02)
    return canvas.finish(figure)


def _curves(axis, what, members, chance):
    from matplotlib import colormaps

    colours = colormaps[canvas.COLOURS](np.linspace(0, 0.85, len(members)))
    lines = [*zip(members, colours, ["-"] * len(members), strict=True), *((one, "0.5", "--") for one in chance)]
    for one, colour, style in lines:
        curve = getattr(one.scores, what).mean(axis=0)
        label = f"{one.layer or 'random order'}: area {area(curve):.2f}"
        axis.plot(np.linspace(0, 1, len(curve)), curve, style, color=colour, linewidth=1.4, label=label)
