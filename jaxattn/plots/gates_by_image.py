"""Channel gates of single images: the weight of each channel, image by image."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.explain.gates import gate_limits
from jaxattn.plots import canvas, gallery, labels
from jaxattn.types import Layer, Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL = 2.4  # inches, the width of a gate's bars


def draw(predictions: Predictions, gates: dict[Layer, np.ndarray], caption: str) -> "Figure":
    """The weight of each channel for each image, averaged over positions; channels in the order of the network.

    Args:
        predictions: N images, one per row.
        gates: {gate: [N, h, w, C]}, one per column; those with one channel are left out.
        caption: which run it is.

    Raises:
        NothingToDrawError: if no gate weights channels.
    """
    weights = {name: gate.mean(axis=(1, 2)) for name, gate in gates.items() if gate.shape[3] > 1}
    if not weights:
        raise canvas.NothingToDrawError(canvas.NO_CHANNEL_GATE)
    rows, columns = len(predictions.images), 1 + len(weights)
    height = gallery.image_cell(predictions.images, 2)[1]
    size = gallery.CELL + PANEL * len(weights), rows * height + 0.3
    figure = canvas.figure("Channel gates of each image", caption, size)
    ratios = [gallery.CELL, *[PANEL] * len(weights)]
    axes = figure.subplots(rows, columns, squeeze=False, width_ratios=ratios)
    canvas.bare(axes[:, :1])
    low, high = gate_limits(weights.values())
    for i, image in enumerate(predictions.images):
        gallery.show(axes[i, 0], image, labels.prediction(predictions, i))
        for axis, (name, values) in zip(axes[i, 1:], weights.items(), strict=True):
            axis.bar(np.arange(values.shape[1]), values[i], width=0.9, color="#2a788e")
            canvas.plain_axes(axis, str(name) if i == 0 else "", "channel" if i == rows - 1 else "")
            axis.set_ylim(low, high)
            axis.set_xlim(-0.6, values.shape[1] - 0.4)
            canvas.whole_ticks(axis.xaxis)
        axes[i, 1].set_ylabel("weight", fontsize=canvas.SMALL, color=canvas.INK)
    return canvas.finish(figure)
