"""Line charts of a page: from numbers to the coordinates of an SVG in the page's own colours."""

from collections.abc import Sequence
from typing import Any, NamedTuple

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 40


class Line(NamedTuple):
    """One line of a chart.

    Attributes:
        label: what it is.
        x, y: its points.
        colour: number of its colour, from 0.
        dashed: whether it is drawn dashed.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    dashed: bool = False


def chart(
    title: str, lines: list[Line], x_label: str, limits: dict[str, tuple[float, float]] | None = None, **options: Any
) -> dict[str, Any]:
    """The data of a chart, for the template's macro `chart`.

    Args:
        title: what is shown.
        lines: each has at least one point.
        x_label: label of the horizontal axis.
        limits: limits of "x" and "y"; by default, those of the points.
        options: `percent=True`: y, or with `percent="xy"` both, are fractions; `whole=True`: x has whole numbers;
            `marks=[...]`: positions on x that get a vertical line.
    """
    limits, percent = limits or {}, options.get("percent", "")
    spans = {axis: limits.get(axis) or _span([v for line in lines for v in getattr(line, axis)]) for axis in "xy"}
    x = _scale(spans["x"], LEFT, WIDTH - RIGHT)
    y = _scale(spans["y"], HEIGHT - BOTTOM, TOP)
    x_text = _percent if percent == "xy" else _plain
    y_text = _percent if percent else _plain
    return {
        "title": title,
        "x_label": x_label,
        "alt": f"{title}. " + " ".join(_described(line, y_text) for line in lines if line.label),
        "x_ticks": [(x(tick), x_text(tick)) for tick in _ticks(spans["x"], bool(options.get("whole")))],
        "y_ticks": [(y(tick), y_text(tick)) for tick in _ticks(spans["y"])],
        "marks": [x(mark) for mark in options.get("marks", ())],
        "lines": [
            {
                **line._asdict(),
                "points": [(x(a), y(b)) for a, b in zip(line.x, line.y, strict=True)],
                "dots": len(line.x) == 1 or (len(line.x) <= 30 and not line.dashed),
            }
            for line in lines
        ],
    }


def _span(values):
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _scale(span, start, end):
    return lambda value: round(start + (value - span[0]) / (span[1] - span[0]) * (end - start), 1)


def _ticks(span, whole=False):
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(5, integer=whole, min_n_ticks=1 if whole else 3).tick_values(*span)
    slack = 1e-9 * (span[1] - span[0])
    return [float(tick) for tick in ticks if span[0] - slack <= tick <= span[1] + slack]


def _plain(value):
    return f"{value:.4g}"


def _percent(value):
    return f"{100 * value:.4g}%"


def _described(line, text):
    first, last = (text(float(f"{value:.3g}")) for value in (line.y[0], line.y[-1]))
    if len(line.y) == 1:
        return f"{line.label}: {first}."
    low, high = (text(float(f"{value:.3g}")) for value in (min(line.y), max(line.y)))
    return f"{line.label}: from {first} to {last}, lowest {low}, highest {high}."
