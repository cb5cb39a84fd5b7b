"""The figures of a comparison: from arrays to Matplotlib figures, which are saved and shown on the page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxattn.comparison.disagreement import Disagreement
from jaxattn.data.splits import Split
from jaxattn.explain.groups import class_names
from jaxattn.plots import canvas, gallery

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#7a7f87", "#3b82b4", "#d97706", "#2a9d6f", "#b5485d", "#8064a2", "#5f8a3a", "#a0692e")
ROW = 0.32  # inches, the height of a row of a forest plot
SHOWN = 6  # images in a row


class Interval(NamedTuple):
    """A row of a forest plot, in points.

    Attributes:
        label: what it is.
        mean: the estimate; NaN if there is none.
        low, high: its 95 % interval; NaN if there is none.
    """

    label: str
    mean: float
    low: float
    high: float


class Cost(NamedTuple):
    """The accuracy of a variant, and what it costs.

    Attributes:
        name: name of the variant.
        accuracy: mean test accuracy, a fraction.
        parameters: number of parameters.
        multiply_adds: multiply-adds for one image.
        step: seconds per training step.
    """

    name: str
    accuracy: float
    parameters: int
    multiply_adds: float
    step: float


def seeds(accuracies: Mapping[str, Mapping[int, float]], caption: str) -> "Figure":
    """Test accuracy of every seed, by variant: dots, and the mean as a bar.

    Args:
        accuracies: fractions by variant and seed.
        caption: what was compared.
    """
    names = [name for name, by_seed in accuracies.items() if by_seed]
    figure = canvas.figure("Test accuracy of each seed", caption, (0.9 * len(names), 3))
    axes = figure.subplots()
    for column, name in enumerate(names):
        by_seed = accuracies[name]
        values, mean = 100 * np.array(list(by_seed.values())), 100 * float(np.mean(list(by_seed.values())))
        axes.plot(np.full(len(values), column), values, "o", color=_colour(column), markersize=5, zorder=2)
        axes.plot((column - 0.18, column + 0.18), [mean] * 2, color=_colour(column), linewidth=2.5, zorder=3)
        at = column + 0.22, mean
        axes.annotate(f"{mean:.2f}", at, ha="left", va="center", fontsize=canvas.SMALL, color=canvas.INK)
    axes.set_xticks(range(len(names)), names, rotation=0 if len(names) < 6 else 30)
    axes.set_xlim(-0.7, len(names) - 0.3)
    canvas.plain_axes(axes, "dot: one seed; bar: mean", "", "test accuracy, %")
    return canvas.finish(figure)


def forest(title: str, rows: Sequence[Interval], caption: str, margin: float = 0.0, x: str = "points") -> "Figure":
    """Estimates with their intervals, one per row, and a line at zero.

    Args:
        title: what is shown.
        rows: from top to bottom.
        caption: what was compared.
        margin: differences up to this size, in points, are shaded.
        x: label of the horizontal axis.
    """
    figure = canvas.figure(title, caption, (canvas.MIN_WIDTH, 0.8 + ROW * len(rows)))
    axes = figure.subplots()
    axes.axvline(0, color="0.5", linewidth=1)
    if margin:
        axes.axvspan(-margin, margin, color="0.5", alpha=0.15, linewidth=0)
    for place, row in enumerate(rows):
        colour = _colour(1)
        axes.plot((row.low, row.high), (place, place), color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot(row.mean, place, "o", color=colour, markersize=5)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    canvas.plain_axes(axes, f"shaded: within {margin} points" if margin else "", x)
    return canvas.finish(figure)


def learning_curves(
    metrics: Mapping[str, Sequence[Sequence[dict[str, Any]]]], monitored: str, caption: str
) -> "Figure":
    """Accuracy on the monitored split by epoch: the mean over seeds, and a band from the lowest to the highest seed.

    Args:
        metrics: by variant, for each seed one dict per epoch, as in `metrics.jsonl`.
        monitored: "validation" or "test".
        caption: what was compared.
    """
    figure = canvas.figure("Learning curves", caption, (canvas.MIN_WIDTH, 2.8))
    axes = figure.subplots()
    for number, (name, runs) in enumerate(metrics.items()):
        if not runs:
            continue
        epochs = [line["epoch"] for line in runs[0]]
        values = 100 * np.array([[line["val_accuracy"] for line in run] for run in runs])
        axes.plot(
            epochs, values.mean(axis=0), color=_colour(number), linewidth=1.5, label=name, marker="o", markersize=2.5
        )
        axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=_colour(number), alpha=0.2, linewidth=0)
    axes.legend(fontsize=canvas.SMALL, labelcolor=canvas.INK, frameon=False)
    canvas.whole_ticks(axes.xaxis)
    canvas.plain_axes(axes, "line: mean of the seeds; band: lowest to highest", "epoch", f"{monitored} accuracy, %")
    return canvas.finish(figure)


def costs(rows: Sequence[Cost], caption: str) -> "Figure":
    """Mean test accuracy against three costs; a line joins the Pareto-optimal variants.

    Args:
        rows: one for each variant.
        caption: what was compared.
    """
    figure = canvas.figure("Accuracy against cost", caption, (8.4, 3))
    axes = figure.subplots(1, 3, sharey=True)
    quantities = {
        "parameters, thousands": [row.parameters / 1e3 for row in rows],
        "multiply-adds an image, millions": [row.multiply_adds / 1e6 for row in rows],
        "training step, ms": [row.step * 1e3 for row in rows],
    }
    for axis, (title, values) in zip(axes, quantities.items(), strict=True):
        points = [(x, 100 * row.accuracy) for x, row in zip(values, rows, strict=True)]
        front = sorted(p for p in points if not any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points))
        axis.plot(*zip(*front, strict=True), color="0.6", linewidth=1, zorder=1)
        for number, (row, point) in enumerate(zip(rows, points, strict=True)):
            axis.plot(*point, "o", color=_colour(number), markersize=6, label=row.name, zorder=2)
        axis.margins(x=0.15, y=0.15)
        axis.locator_params(axis="x", nbins=4)
        canvas.plain_axes(axis, "", title, "test accuracy, %" if axis is axes[0] else "")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(
        *handles, loc="outside upper right", fontsize=canvas.SMALL, labelcolor=canvas.INK, ncols=4, frameon=False
    )
    return canvas.finish(figure)


def different_answers(
    name: str, baseline: str, differing: Disagreement, test: Split, classes: Sequence[str], caption: str
) -> "Figure":
    """The images on which a variant and the baseline differ most: top, the variant is better; bottom, it is worse.

    Args:
        name, baseline: names of the two variants.
        differing: the result of `disagreement`.
        test: the N test images.
        classes: names of the classes, K.
        caption: what was compared.
    """
    title, names = f"Classified correctly with {name} (top), with {baseline} (bottom)", class_names(classes)
    cell = gallery.image_cell(test.images, 3)
    figure, axes = canvas.grid(2, SHOWN, title, caption, cell)
    for row, chosen in zip(axes, (differing.better, differing.worse), strict=True):
        for axis, index in zip(row, chosen, strict=False):
            both = zip((name, baseline), differing.fractions[:, index], strict=True)
            shares = "\n".join(f"{variant}: {share:.0%}" for variant, share in both)
            gallery.show(axis, test.images[index], f"{names[test.labels[index]]}\n{shares}")
        if not len(chosen):
            row[0].text(0, 0.5, "no image", fontsize=canvas.SMALL, color=canvas.INK)
    return canvas.finish(figure)


def robustness(rows: Sequence[tuple[str, Mapping[str, Mapping[int, float]]]], caption: str) -> "Figure":
    """Accuracy on each view, by variant: a dot at the mean of the seeds, a line from the lowest to the highest.

    Args:
        rows: from top to bottom: the name of a view, and accuracies (fractions) by variant and seed.
        caption: what was compared.
    """
    names = list(rows[0][1])
    step = 0.7 / len(names)
    height = 0.9 + max(ROW, 0.13 * len(names)) * len(rows)
    figure = canvas.figure("Accuracy on other images", caption, (canvas.MIN_WIDTH, height))
    axes = figure.subplots()
    for number, name in enumerate(names):
        for place, (_, scores) in enumerate(rows):
            values, at = 100 * np.array(list(scores[name].values())), place + step * (number - (len(names) - 1) / 2)
            if len(values):
                axes.plot((values.min(), values.max()), (at, at), color=_colour(number), linewidth=2)
                axes.plot(values.mean(), at, "o", color=_colour(number), markersize=4, label="" if place else name)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.legend(fontsize=canvas.SMALL, labelcolor=canvas.INK, frameon=False)
    canvas.plain_axes(axes, "dot: mean of the seeds; line: lowest to highest", "accuracy, %")
    return canvas.finish(figure)


def _colour(number):
    return PALETTE[number % len(PALETTE)]
