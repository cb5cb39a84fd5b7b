"""Score table: what each kind of map at each layer is worth."""

from typing import TYPE_CHECKING, NamedTuple

from jaxattn.plots import canvas
from jaxattn.records import Heatmap
from jaxattn.scores import area

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Row(NamedTuple):
    """Means over pictures; None where there is nothing to reckon it from.

    Attributes:
        kind: of map.
        layer: it is of.
        object_share: share of its mass on the object, higher is better.
        pointing: fraction of maps that peak on the object, higher is better.
        deletion: area under the curve, lower is better.
        insertion: area under the curve, higher is better.
        agreement: rank correlation with the map under random weights, nearer to 0 is better.
    """

    kind: str
    layer: str
    object_share: float | None
    pointing: float | None
    deletion: float
    insertion: float
    agreement: float | None


COLUMNS = {
    "object_share": "mass on\nobject ↑",
    "pointing": "peak on\nobject ↑",
    "deletion": "deletion\narea ↓",
    "insertion": "insertion\narea ↑",
    "agreement": "as with random\nweights → 0",
}
BEST = {
    "object_share": max,
    "pointing": max,
    "deletion": min,
    "insertion": max,
}


def rows(scored: list[Heatmap]) -> list[Row]:
    """The table: a row for each kind of map and layer, with means over the maps [N, h, w]; chance first."""
    made = []
    for one in sorted(scored, key=lambda one: one.kind != "chance"):
        found, chance = one.scores, one.kind == "chance"
        known = found.object_share is not None
        made.append(
            Row(
                one.kind,
                one.layer,
                float(found.object_share.mean()) if known else None,
                float(found.pointing.mean()) if known else None,
                float(area(found.deletion).mean()),
                float(area(found.insertion).mean()),
                None if chance else float(found.agreement.mean()),
            )
        )
    return made


def draw(scored: list[Heatmap], caption: str) -> "Figure":
    """The table as a picture; the best of each column is bold.

    Args:
        scored: maps of N pictures; kind "chance" is pixels in random order.
        caption: which run it is.
    """
    table = rows(scored)
    shown = [name for name in COLUMNS if table[0]._asdict()[name] is not None or name == "agreement"]
    title = f"What each map is worth: means over {len(scored[0].values)} pictures"
    note = (
        "Chance: pixels in random order. Mass and peak on object: where the map lies. Deletion, insertion: probability "
        "as the map's highest pixels go or come first. As with random weights: rank correlation with the map "
        "of an untrained network; near 1, the map says nothing of what was learned."
    )
    made = canvas.figure(title, f"{caption}\n{note}", (3.6 + 1.05 * len(shown), 0.24 * len(table) + 0.6))
    axis = made.subplots()
    axis.set_axis_off()
    axis.set_xlim(-3.4, len(shown) - 0.5)
    axis.set_ylim(len(table) - 0.5, -1.9)
    for i, name in enumerate(shown):
        axis.text(i, -0.65, COLUMNS[name], ha="center", va="bottom", fontsize=canvas.SMALL, color=canvas.FAINT)
        values = [row._asdict()[name] for row in table]
        best = BEST[name](values) if name in BEST else None
        for j, value in enumerate(values):
            weight = "bold" if best is not None and value == best else "normal"
            text = cell(name, value)
            axis.text(i, j, text, ha="center", va="center", fontsize=canvas.SMALL + 1, color=canvas.INK, weight=weight)
    for j, row in enumerate(table):
        if j % 2:
            axis.axhspan(j - 0.5, j + 0.5, color="0.95", linewidth=0)
        label = f"{row.kind} {row.layer}".strip()
        axis.text(-3.35, j, label, va="center", fontsize=canvas.SMALL + 1, color=canvas.INK)
    return canvas.finish(made)


def cell(name: str, value: float | None) -> str:
    """A value of the column `name` as it is shown."""
    if value is None:
        return "–"
    return f"{value:.0%}" if name in ("object_share", "pointing") else canvas.decimals(value)
