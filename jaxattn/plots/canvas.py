"""The figure that every plot is drawn on: its title, text, axes and colour bars, and its file.

Matplotlib is loaded when a figure is made. Nothing here touches pyplot or rcParams.
"""

import functools
import io
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxattn.errors import InputError
from jaxattn.explain.groups import class_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "viridis"
FONT = "DejaVu Sans"  # comes with Matplotlib
# Fonts for other scripts, if they are installed; Matplotlib falls back from one to the next.
FALLBACK_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Arial Unicode MS", "Noto Emoji")
INK, FAINT, GRID = "#222222", "#666666", "#e6e6e6"
TITLE, SMALL = 12, 8  # points
MIN_WIDTH = 4.4  # inches; across a phone of 390 pixels, small text is then 9 pixels high
COLOUR_BAR = 0.95  # inches, the width of a colour bar with its numbers and its label
DPI = 150
MAX_PIXELS = 60_000  # of a side, just under Matplotlib's limit
NO_CHANNEL_GATE = "nothing to draw: no gate of this network weights channels"
INCH_PER_CHARACTER = 0.0075  # for each point of the font size


class NothingToDrawError(ValueError):
    """Raised if this run or these images lack what a plot needs. The message says why, in one line."""


def figure(title: str, caption: str, size: tuple[float, float]) -> "Figure":
    """An empty figure.

    Args:
        title: what is shown.
        caption: which run it shows, in small print below.
        size: width and height of the plot, inches; the space for title and caption is added.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    width = max(size[0], MIN_WIDTH)
    title, caption = _wrapped(title, width, TITLE), _wrapped(caption, width, SMALL)
    lines = 1.5 * TITLE * (1 + title.count("\n")) + 1.5 * SMALL * (1 + caption.count("\n"))
    layout = ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.05)
    drawing = _figure_class()(figsize=(width, size[1] + lines / 72 + 0.2), layout=layout, facecolor="white")
    drawing.suptitle(title, x=0.02, ha="left", fontsize=TITLE, color=INK)
    drawing.supxlabel(caption, x=0.02, ha="left", fontsize=SMALL, color=FAINT)
    return drawing


@functools.cache
def _figure_class() -> type["Figure"]:
    """Matplotlib's figure, which a notebook shows as the last value of a cell, with pyplot or without."""
    from matplotlib.figure import Figure

    return type("Figure", (Figure,), {"_repr_png_": encode})


def grid(rows: int, columns: int, title: str, caption: str, cell: tuple[float, float]) -> tuple["Figure", np.ndarray]:
    """A figure of axes without ticks, [rows, columns]; `cell` is the width and height of one with its text, inches.

    There is room for a colour bar on the right.
    """
    drawing = figure(title, caption, (columns * cell[0] + COLOUR_BAR, rows * cell[1]))
    return drawing, bare(drawing.subplots(rows, columns, squeeze=False))


def bare(axes: np.ndarray) -> np.ndarray:
    """The same axes [rows, columns], without ticks and frames, aligned at the bottom."""
    for axis in axes.flat:
        axis.set(xticks=(), yticks=(), anchor="S")  # invisible ticks would still be laid out
        axis.set_axis_off()
    return axes


def colour_bar(
    drawing: "Figure", axes: Any, label: str, limits: tuple[float, float] = (0, 1), ends: Sequence[str] = ()
) -> None:
    """A colour bar on the right of axes; `ends` labels its two ends if numbers would say nothing."""
    height = drawing.get_size_inches()[1]
    bar = drawing.colorbar(_scale(limits), ax=axes, shrink=min(1, 2.5 / height), aspect=20, pad=0.02)
    if ends:
        bar.set_ticks(list(limits), labels=list(ends))
    _style(bar, label)


def colour_bar_below(drawing: "Figure", axes: Any, label: str, limits: tuple[float, float]) -> None:
    """A colour bar under a column of axes."""
    bar = drawing.colorbar(_scale(limits), ax=axes, location="bottom", aspect=25, pad=0.02)
    bar.ax.locator_params(axis="x", nbins=5)
    _style(bar, label)


def _scale(limits):
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(*limits), COLOURS)


def _style(bar, label):
    bar.ax.tick_params(labelsize=SMALL, colors=INK)
    bar.set_label(label, fontsize=SMALL, color=INK)
    bar.outline.set_visible(False)


def plain_axes(axes: "Axes", title: str = "", x: str = "", y: str = "") -> None:
    """Axes for curves: labels and text of one size, a faint grid, no box."""
    axes.set_title(title, fontsize=SMALL + 1, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=SMALL, color=INK)
    axes.set_ylabel(y, fontsize=SMALL, color=INK)
    axes.tick_params(labelsize=SMALL, colors=INK, which="both")
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def class_ticks(axis: Any, classes: Sequence[str], room: float, **options: Any) -> None:
    """Names of the classes [K] on an axis of `room` inches; if they do not fit, every n-th."""
    step = max(1, int(np.ceil(len(classes) * 1.25 * SMALL / 72 / room)))
    positions = np.arange(0, len(classes), step)
    names = class_names(classes)
    axis.set_ticks(positions, [names[i] for i in positions], fontsize=SMALL, color=INK, **options)


def whole_ticks(axis: Any) -> None:
    """Ticks of a Matplotlib axis at whole numbers only."""
    axis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def finish(drawing: "Figure") -> "Figure":
    """Finishes the text of a figure: no name is parsed as a formula, and other scripts use fallback fonts."""
    from matplotlib.text import Text

    for text in drawing.findobj(Text):
        text.set(parse_math=False, fontfamily=_fonts())
    return drawing


@functools.cache
def _fonts():
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return [FONT, *(name for name in FALLBACK_FONTS if name in installed)]


def encode(drawing: "Figure", form: str = "png") -> bytes:
    """The figure as a file: "png" or "svg" (text as outlines, no date)."""
    file = io.BytesIO()
    dpi = min(DPI, MAX_PIXELS / max(drawing.get_size_inches()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a placeholder is drawn
        drawing.savefig(file, format=form, dpi=dpi, metadata={"Date": None} if form == "svg" else {"Software": None})
    return file.getvalue()


def write(drawing: "Figure", path: Path) -> Path:
    """Writes the figure in the format of the suffix; returns the path.

    Raises:
        InputError: if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(drawing, path.suffix[1:]))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another folder", "out") from error
    return path


def _wrapped(text, width, size):
    characters = int(width / (INCH_PER_CHARACTER * size))
    return "\n".join(textwrap.fill(line, characters) for line in text.splitlines())
