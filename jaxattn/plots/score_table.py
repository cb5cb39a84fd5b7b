"""Score table: how faithful each kind of map is at each layer."""

from typing import TYPE_CHECKING

from jaxattn.explain import score_table
from jaxattn.plots import canvas
from jaxattn.types import ScoredMaps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    "mass_on_object": "mass on\nobject ↑",
    "pointing": "maximum on\nobject ↑",
    "deletion": "deletion\narea ↓",
    "insertion": "insertion\narea ↑",
    "similarity": "randomised\nweights → 0",
}


def draw(scored: list[ScoredMaps], caption: str) -> "Figure":
    """The table as a figure; the best of each column is bold.

    Args:
        scored: maps of N images; kind "chance" is pixels in random order.
        caption: which run it is.
    """
    table = score_table.rows(scored)
    shown = score_table.columns(table)
    title = f"Faithfulness of the maps: means over {len(scored[0].values)} images"
    note = (
        "Chance: pixels in random order. Mass and maximum on object: where the map lies. Deletion, insertion: "
        "probability as the map's highest pixels are removed or inserted first. Randomised weights: rank correlation "
        "with the map of an untrained network; near 1, the map does not show what was learned."
    )
    figure = canvas.figure(title, f"{caption}\n{note}", (3.6 + 1.05 * len(shown), 0.24 * len(table) + 0.6))
    axis = figure.subplots()
    axis.set_axis_off()
    axis.set_xlim(-3.4, len(shown) - 0.5)
    axis.set_ylim(len(table) - 0.5, -1.9)
    for i, name in enumerate(shown):
        axis.text(i, -0.65, TITLES[name], ha="center", va="bottom", fontsize=canvas.SMALL, color=canvas.FAINT)
        best = score_table.best(table, name)
        for j, value in enumerate(getattr(row, name) for row in table):
            weight = "bold" if best is not None and value == best else "normal"
            _write(axis, i, j, score_table.text(name, value), ha="center", weight=weight)
    for j, row in enumerate(table):
        if j % 2:
            axis.axhspan(j - 0.5, j + 0.5, color="0.95", linewidth=0)
        _write(axis, -3.35, j, str(row.kind) if row.layer is None else f"{row.kind} {row.layer}")
    return canvas.finish(figure)


def _write(axis, x, y, text, **options):
    axis.text(x, y, text, va="center", fontsize=canvas.SMALL + 1, color=canvas.INK, **options)
