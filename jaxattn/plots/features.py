"""Feature maps: the output of selected layers."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.plots import canvas, gallery, labels
from jaxattn.types import Layer, Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOSAIC = 2.3  # inches, the width of a mosaic


def draw(predictions: Predictions, features: dict[Layer, np.ndarray], channels: int, caption: str) -> "Figure":
    """The first channels of each layer beside each image, with one colour scale per layer.

    Args:
        predictions: N images, one per row.
        features: the output of each layer, {layer: [N, h, w, C]}, one per column.
        channels: how many channels of each.
        caption: which run it is.
    """
    rows, columns = len(predictions.images), 1 + len(features)
    height = (MOSAIC - 0.1) * predictions.images.shape[1] / predictions.images.shape[2] + 0.4
    figure = canvas.figure("Feature maps", caption, (columns * MOSAIC, rows * height + 0.6))
    axes = canvas.bare(figure.subplots(rows, columns, squeeze=False))
    for i, image in enumerate(predictions.images):
        gallery.show(axes[i, 0], image, labels.prediction(predictions, i))
    for column, (layer, values) in enumerate(features.items(), 1):
        shown = values[..., :channels]
        limits = _limits(shown)
        for i, axis in enumerate(axes[:, column]):
            axis.imshow(
                gallery.mosaic(np.moveaxis(shown[i], 2, 0)),
                cmap=canvas.COLOURS, vmin=limits[0], vmax=limits[1], interpolation="nearest",
            )  # fmt: skip
        height, width, total = values.shape[1:]
        numbers = f"channels 0-{shown.shape[3] - 1} of {total}" if shown.shape[3] > 1 else f"channel 0 of {total}"
        axes[0, column].set_title(
            f"{layer}: {height} x {width},\n{numbers}", fontsize=canvas.SMALL, color=canvas.INK, pad=3
        )
        canvas.colour_bar_below(figure, list(axes[:, column]), "activation", limits)
    return canvas.finish(figure)


def _limits(values):
    """Minimum and maximum; for a constant, limits around it."""
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)
