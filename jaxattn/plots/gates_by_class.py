"""Attention gates by class: the mean weight of each channel for each class."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.explain.gates import class_means, gate_limits
from jaxattn.explain.groups import grouped
from jaxattn.plots import canvas
from jaxattn.types import Layer, Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(gate_profiles: dict[Layer, np.ndarray], tested: Predictions, caption: str) -> "Figure":
    """A map of classes by channels for each gate, channels sorted by their mean weight.

    With many classes: of their superclasses, or of those confused most (`explain.groups`).

    Args:
        gate_profiles: weight of each channel for each of N images, {gate: [N, C]}, one per panel.
        tested: the N images, with their labels.
        caption: which run it is.

    Raises:
        NothingToDrawError: if no gate weights channels.
    """
    if not gate_profiles:
        raise canvas.NothingToDrawError(canvas.NO_CHANNEL_GATE)
    groups = grouped(tested)
    rows = groups.row[tested.truth]
    room = min(len(groups.names) * 0.16, max(12 / len(gate_profiles), 1.6))
    title = f"Attention gates of {groups.about}: means over {len(tested.images):,} images"
    figure = canvas.figure(title, caption, (7.5, len(gate_profiles) * (room + 0.65)))
    axes = figure.subplots(len(gate_profiles), squeeze=False)[:, 0]
    limits = gate_limits(gate_profiles.values())
    for axis, (gate, profiles) in zip(axes, gate_profiles.items(), strict=True):
        order = np.argsort(profiles.mean(axis=0), kind="stable")
        means = class_means(profiles, rows, len(groups.names) + 1)[:-1, order]
        axis.imshow(means, cmap=canvas.COLOURS, vmin=limits[0], vmax=limits[1], aspect="auto", interpolation="nearest")
        canvas.class_ticks(axis.yaxis, groups.short, room)
        axis.set_title(
            f"{gate}: {len(order)} channels, by mean weight", fontsize=canvas.SMALL + 1, color=canvas.INK, loc="left"
        )
        axis.set_xticks([])
        axis.spines[:].set_visible(False)
    canvas.colour_bar(figure, list(axes), "weight", limits)
    return canvas.finish(figure)
