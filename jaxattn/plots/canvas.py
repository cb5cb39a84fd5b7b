"""The sheet that every plot is drawn on: its title, its letters, its pictures, and its bytes.

Matplotlib loads when a figure is made. Nothing here touches pyplot or rcParams.
"""

import collections
import functools
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxattn.errors import InputError
from jaxattn.records import Pictures, Scores
from jaxattn.scores import area

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "viridis"
FONT = "DejaVu Sans"  # comes with Matplotlib
INK, FAINT = "#222222", "#666666"
TITLE, SMALL = 12, 8  # points
NARROWEST = 5  # inches
CELL = 1.5  # inches, the width of a picture with the gap beside it
GAP = 0.08  # inches
BAR = 0.95  # inches, the width of a bar of colours with its numbers and its label
ACROSS = 7  # pictures side by side
LONGEST = 16  # letters of a class name on an axis
SHORT = 11  # and over a picture
DPI = 150
LARGEST = 60_000  # pixels, just under what Matplotlib can draw
LUMA = np.array([0.299, 0.587, 0.114])
INCH_PER_LETTER = 0.0075  # for each point of size


class NothingToDrawError(ValueError):
    """A picture that this run or these pictures do not have. The message says why, in one line."""


def figure(title: str, caption: str, size: tuple[float, float]) -> "Figure":
    """An empty sheet.

    Args:
        title: what is seen.
        caption: which run it is of, in small print below.
        size: width and height of what is drawn, inches; the room for title and caption is added.
    """
    from matplotlib.figure import Figure

    width = max(size[0], NARROWEST)
    title, caption = _wrapped(title, width, TITLE), _wrapped(caption, width, SMALL)
    lines = 1.5 * TITLE * (1 + title.count("\n")) + 1.5 * SMALL * (1 + caption.count("\n"))
    made = Figure(figsize=(width, size[1] + lines / 72 + 0.2), layout="constrained", facecolor="white")
    made.get_layout_engine().set(w_pad=0.05, h_pad=0.05)
    made.suptitle(title, x=0.02, ha="left", fontsize=TITLE, color=INK)
    made.supxlabel(caption, x=0.02, ha="left", fontsize=SMALL, color=FAINT)
    return made


def grid(rows: int, columns: int, title: str, caption: str, cell: tuple[float, float]) -> tuple["Figure", np.ndarray]:
    """A sheet of axes without ticks, [rows, columns]; `cell` is the width and height of one with its text, inches.

    There is room for a bar of colours on the right.
    """
    made = figure(title, caption, (columns * cell[0] + BAR, rows * cell[1]))
    return made, bare(made.subplots(rows, columns, squeeze=False))


def bare(axes: np.ndarray) -> np.ndarray:
    """The same axes [rows, columns], without ticks and frames; what they hold stands on the ground."""
    for axis in axes.flat:
        axis.set(xticks=(), yticks=(), anchor="S")  # ticks that nobody sees would still be laid out
        axis.set_axis_off()
    return axes


def picture_cell(images: np.ndarray, lines: int) -> tuple[float, float]:
    """The cell of `grid` for images [N, H, W, 3] with so many lines of text over each."""
    height, width = images.shape[1:3]
    return CELL, (CELL - GAP) * height / width + lines * 1.3 * SMALL / 72 + 0.14


def picture(axes: "Axes", image: np.ndarray, title: str = "") -> None:
    """Draws an image with a title over it: uint8 [H, W, 3], or grey [H, W] in 0-1."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=SMALL, color=INK, pad=3)


class Panel(NamedTuple):
    """A map [H, W] to lay over its picture, with the title over it."""

    title: str
    values: np.ndarray


def gallery(title: str, caption: str, pictures: Pictures, panels: list[list[Panel]], bar: dict[str, Any]) -> "Figure":
    """Each picture, and beside it its maps laid over it at alpha .5; past `ACROSS` columns they go on below.

    Args:
        title, caption: as of `figure`.
        pictures: N pictures.
        panels: the maps of each, N times as many.
        bar: arguments of `colour_bar`: its label and the scale that all maps share.
    """
    count = 1 + len(panels[0])
    columns = min(count, ACROSS)
    down = -(-count // columns)
    lines = 1 + max(panel.title.count("\n") for row in panels for panel in row)
    cell = picture_cell(pictures.images, max(lines, 2))
    made, axes = grid(len(panels) * down, columns, title, caption, cell)
    low, high = bar.get("limits", (0, 1))
    for i, (image, row) in enumerate(zip(pictures.images, panels, strict=True)):
        places = axes[i * down : (i + 1) * down].flat
        picture(places[0], image, verdict(pictures, i))
        for axis, panel in zip(places[1:], row, strict=False):
            picture(axis, image @ LUMA / 255, panel.title)
            axis.imshow(panel.values, cmap=COLOURS, vmin=low, vmax=high, alpha=0.5, interpolation="nearest")
    colour_bar(made, axes, **bar)
    return finish(made)


def colour_bar(
    made: "Figure", axes: Any, label: str, limits: tuple[float, float] = (0, 1), ends: Sequence[str] = ()
) -> None:
    """A bar of the colours on the right of axes; `ends` names its two ends where numbers would say nothing."""
    height = made.get_size_inches()[1]
    bar = made.colorbar(_scale(limits), ax=axes, shrink=min(1, 2.5 / height), aspect=20, pad=0.02)
    if ends:
        bar.set_ticks(list(limits), labels=list(ends))
    _settle(bar, label)


def colour_bar_below(made: "Figure", axes: Any, label: str, limits: tuple[float, float]) -> None:
    """A bar of the colours under a column of axes."""
    bar = made.colorbar(_scale(limits), ax=axes, location="bottom", aspect=25, pad=0.02)
    bar.locator.set_params(nbins=5)
    _settle(bar, label)


def _scale(limits):
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(*limits), COLOURS)


def _settle(bar, label):
    bar.ax.tick_params(labelsize=SMALL, colors=INK)
    bar.set_label(label, fontsize=SMALL, color=INK)
    bar.outline.set_visible(False)


def mosaic(maps: np.ndarray) -> np.ndarray:
    """Maps [n, h, w] side by side in a near square, with gaps of NaN: one image of them all."""
    count, height, width = maps.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    scale = max(1, -(-32 // max(height, width)))  # the gap stays thin beside coarse maps
    cells = np.full((rows * columns, height * scale + 2, width * scale + 2), np.nan)
    cells[:count, 1:-1, 1:-1] = maps.repeat(scale, axis=1).repeat(scale, axis=2)
    cells = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    return cells.reshape(rows * cells.shape[1], -1)


def plain_axes(axes: "Axes", title: str = "", x: str = "", y: str = "") -> None:
    """Axes for curves: labels and letters of one size, a faint grid, no box."""
    axes.set_title(title, fontsize=SMALL + 1, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=SMALL, color=INK)
    axes.set_ylabel(y, fontsize=SMALL, color=INK)
    axes.tick_params(labelsize=SMALL, colors=INK, which="both")
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def class_ticks(axis: Any, classes: Sequence[str], room: float, **options: Any) -> None:
    """Names of the classes [K] on an axis of `room` inches; where they are too many for it, every n-th."""
    step = max(1, int(np.ceil(len(classes) * 1.25 * SMALL / 72 / room)))
    places = np.arange(0, len(classes), step)
    labels = names(classes)
    axis.set_ticks(places, [labels[i] for i in places], fontsize=SMALL, color=INK, **options)


def verdict(pictures: Pictures, index: int) -> str:
    """Two lines on one picture: its class, where it is known, and what the network says with what probability."""
    labels, guess = names(pictures.classes, SHORT), pictures.predicted[index]
    said = f"{labels[guess]} {pictures.probabilities[index, guess]:.0%}"
    if pictures.labels is None:
        return f"says\n{said}"
    truth = pictures.labels[index]
    return f"{labels[truth]}\nsays {said}"


def score_lines(scores: Scores, index: int) -> str:
    """Two lines on one map: its areas under deletion and insertion, and its share on the object where that is known."""
    first = f"del {area(scores.deletion[index]):.2f}  ins {area(scores.insertion[index]):.2f}"
    if scores.object_share is None:
        return first
    return f"{first}\non object {scores.object_share[index]:.0%}" + (" ✓" if scores.pointing[index] >= 1 else "")


def decimals(value: float) -> str:
    """A number with two decimals, and no minus before a zero."""
    return f"{round(float(value), 2) + 0.0:.2f}"


def with_scores(caption: str, pictures: Pictures) -> str:
    """A caption, and below it how to read `score_lines`."""
    note = "del, ins: areas under deletion (low is good) and insertion (high is good)"
    if pictures.masks is not None:
        note += "; on object: share of the map's mass, ✓ where its peak lies there"
    return f"{caption}\n{note}"


def whole_ticks(axis: Any) -> None:
    """Ticks of a Matplotlib axis at whole numbers only."""
    axis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def names(classes: Sequence[str], longest: int = LONGEST) -> tuple[str, ...]:
    """Names of classes [K] that can be drawn: short, on one line, unlike, without letters that no font here has."""
    shown = []
    for i, name in enumerate(classes):
        letters = " ".join("".join(letter if _drawable(letter) else " " for letter in name).split())
        shown.append((letters if len(letters) <= longest else letters[: longest - 1] + "…") or f"class {i}")
    counts = collections.Counter(shown)
    return tuple(
        name if counts[name] == 1 else f"{name[: longest - 3 - len(str(i))].rstrip()} ({i})"
        for i, name in enumerate(shown)
    )


def finish(made: "Figure") -> "Figure":
    """The sheet with its letters settled: no formula is read into a name, and every letter has a font."""
    from matplotlib.text import Text

    for text in made.findobj(Text):
        letters = "".join(letter if letter == "\n" or _drawable(letter) else "?" for letter in text.get_text())
        fonts = [FONT, *sorted({_font_of(letter) for letter in letters if letter not in "\n"} - {FONT})]
        text.set(parse_math=False, fontfamily=fonts)
        if letters != text.get_text():
            text.set_text(letters)
    return made


def encode(made: "Figure", form: str = "png") -> bytes:
    """The sheet as a file: "png" or "svg" (letters as outlines, no date)."""
    file = io.BytesIO()
    dpi = min(DPI, LARGEST / max(made.get_size_inches()))
    made.savefig(file, format=form, dpi=dpi, metadata={"Date": None} if form == "svg" else {"Software": None})
    return file.getvalue()


def write(made: "Figure", path: Path) -> Path:
    """The sheet as a file of the kind that its suffix says; gives the path.

    Raises:
        InputError: where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(made, path.suffix[1:]))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; name another folder with --out") from error
    return path


def _wrapped(text, width, size):
    letters = int(width / (INCH_PER_LETTER * size))
    return "\n".join(textwrap.fill(line, letters) for line in text.splitlines())


def _drawable(letter):
    return letter.isprintable() and _font_of(letter) is not None


@functools.cache
def _font_of(letter):
    """The font to draw a letter with: the usual one, else the first installed one that has it; None where none does."""
    for name, letters in _fonts():
        if ord(letter) in letters:
            return name
    return None


@functools.cache
def _installed():
    from matplotlib import font_manager

    usual = font_manager.FontEntry(fname=font_manager.findfont(FONT), name=FONT)
    others = [font for font in font_manager.fontManager.ttflist if not font.name.startswith("Last Resort")]
    return [usual, *sorted(others, key=lambda font: (font.style != "normal", str(font.weight) != "400", font.name))]


def _fonts():
    """Each installed font's name with the letters it has; read one by one, as far as the search goes."""
    for font in _installed():
        yield font.name, _letters(font.fname)


@functools.cache
def _letters(path):
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
        return frozenset(font.get_charmap() if font.scalable else ())
    except (OSError, RuntimeError):  # a font that Matplotlib lists and cannot open
        return frozenset()
