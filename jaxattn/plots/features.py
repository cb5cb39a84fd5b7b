"""Feature maps: what chosen layers make of a picture."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.plots import canvas
from jaxattn.records import Pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAP = 2.3  # inches, the width of a mosaic


def draw(pictures: Pictures, features: dict[str, np.ndarray], channels: int, caption: str) -> "Figure":
    """The first channels of each layer beside each picture, on one colour scale a layer.

    Args:
        pictures: N pictures, a row each.
        features: what each layer gives, {layer: [N, h, w, C]}, a column each.
        channels: how many channels of each.
        caption: which run it is.
    """
    rows, columns = len(pictures.images), 1 + len(features)
    height = (MAP - 0.1) * pictures.images.shape[1] / pictures.images.shape[2] + 0.4
    title = f"What {'the layers make' if len(features) > 1 else 'a layer makes'} of a picture"
    made = canvas.figure(title, caption, (columns * MAP, rows * height + 0.6))
    axes = canvas.bare(made.subplots(rows, columns, squeeze=False))
    for i, image in enumerate(pictures.images):
        canvas.picture(axes[i, 0], image, canvas.verdict(pictures, i))
    for column, (layer, values) in enumerate(features.items(), 1):
        shown = values[..., :channels]
        limits = _limits(shown)
        for i, axis in enumerate(axes[:, column]):
            axis.imshow(
                canvas.mosaic(np.moveaxis(shown[i], 2, 0)),
                cmap=canvas.COLOURS, vmin=limits[0], vmax=limits[1], interpolation="nearest",
            )  # fmt: skip
        height, width, total = values.shape[1:]
        numbers = f"channels 0-{shown.shape[3] - 1} of {total}" if shown.shape[3] > 1 else f"channel 0 of {total}"
        axes[0, column].set_title(
            f"{layer}: {height} x {width},\n{numbers}", fontsize=canvas.SMALL, color=canvas.INK, pad=3
        )
        canvas.colour_bar_below(made, list(axes[:, column]), "activation", limits)
    return canvas.finish(made)


def _limits(values):
    """Least and greatest value; a constant in the middle of a scale of its own."""
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)
