"""Images in rows, with maps overlaid on them, and many small maps as one mosaic."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxattn.explain.gates import gate_limits
from jaxattn.explain.maps import zoom
from jaxattn.plots import canvas, labels
from jaxattn.types import Predictions, ScoredMaps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL = 1.5  # inches, the width of an image with the gap beside it
GAP = 0.08  # inches
MAX_COLUMNS = 7
LUMA = np.array([0.299, 0.587, 0.114])


class Panel(NamedTuple):
    """A map [H, W] to overlay on its image, with the title above it."""

    title: str
    values: np.ndarray


def image_cell(images: np.ndarray, lines: int) -> tuple[float, float]:
    """The size of a cell in `canvas.grid` for images [N, H, W, 3] with `lines` lines of text above each."""
    height, width = images.shape[1:3]
    return CELL, (CELL - GAP) * height / width + lines * 1.3 * canvas.SMALL / 72 + 0.14


def show(axes: "Axes", image: np.ndarray, title: str = "") -> None:
    """Draws an image with a title above it: uint8 [H, W, 3], or grey [H, W] in 0-1."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=canvas.SMALL, color=canvas.INK, pad=3)


def gallery(
    title: str,
    caption: str,
    predictions: Predictions,
    panels: list[list[Panel]],
    bar: dict[str, Any],
    across: int = MAX_COLUMNS - 1,
) -> "Figure":
    """Each image, and beside it the image with its maps overlaid at alpha .5, in rows.

    Args:
        title, caption: as for `canvas.figure`.
        predictions: N images.
        panels: the maps of each image, N lists.
        bar: arguments of `canvas.colour_bar`: its label and the scale that all maps share.
        across: maximum number of maps in a row.
    """
    across = min(across, len(panels[0]))
    down = -(-len(panels[0]) // across)
    lines = 1 + max(panel.title.count("\n") for row in panels for panel in row)
    cell = image_cell(predictions.images, max(lines, 2))
    figure, axes = canvas.grid(len(panels) * down, 1 + across, title, caption, cell)
    low, high = bar.get("limits", (0, 1))
    for i, (image, row) in enumerate(zip(predictions.images, panels, strict=True)):
        cells = axes[i * down : (i + 1) * down]
        show(cells[0, 0], image, labels.prediction(predictions, i))
        for axis, panel in zip(cells[:, 1:].flat, row, strict=False):
            show(axis, image @ LUMA / 255, panel.title)
            axis.imshow(panel.values, cmap=canvas.COLOURS, vmin=low, vmax=high, alpha=0.5, interpolation="nearest")
    canvas.colour_bar(figure, axes, **bar)
    return canvas.finish(figure)


def weight_overlays(title: str, caption: str, predictions: Predictions, maps: list[ScoredMaps], label: str) -> "Figure":
    """Maps of weights over N images, all on the scale that `gate_limits` gives, with their range and scores.

    Args:
        title, caption: as for `canvas.figure`.
        predictions: N images, one per row.
        maps: a column each.
        label: label of the colour bar.
    """
    panels = []
    for i, image in enumerate(predictions.images):
        zoomed = [zoom(one.values[i], *image.shape[:2]) for one in maps]
        titles = [
            f"{one.layer}\n{one.values[i].min():.3g} to {one.values[i].max():.3g}\n{labels.scores(one.scores, i)}"
            for one in maps
        ]
        panels.append(list(map(Panel, titles, zoomed)))
    limits = gate_limits([one.values for one in maps])
    return gallery(
        title, labels.with_scores(caption, predictions), predictions, panels, {"label": label, "limits": limits}
    )


def mosaic(maps: np.ndarray) -> np.ndarray:
    """Maps [n, h, w] as one image: a nearly square grid with gaps of NaN."""
    count, height, width = maps.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    scale = max(1, -(-32 // max(height, width)))  # the gap stays thin beside coarse maps
    cells = np.full((rows * columns, height * scale + 2, width * scale + 2), np.nan)
    cells[:count, 1:-1, 1:-1] = maps.repeat(scale, axis=1).repeat(scale, axis=2)
    cells = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    return cells.reshape(rows * cells.shape[1], -1)
