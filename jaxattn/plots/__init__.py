"""The plots by name: each is a function from arrays to a Matplotlib figure; nothing is computed from a network here.

To add a plot, add a file here with `draw`, and a line in `PLOTS` that says which values of which source it draws.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxattn.errors import lookup
from jaxattn.plots import (
    attention_received,
    calibration,
    cam,
    confusion,
    curves,
    faithfulness,
    features,
    gate_profiles,
    gates_by_class,
    gates_by_depth,
    gates_by_image,
    gates_by_position,
    heatmap,
    mistakes,
    removal,
    sanity,
    score_table,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Plot(NamedTuple):
    """A plot, and the source of its values.

    Attributes:
        source: "history", "explanation" or "analysis": a `History`, an `Explanation` or an `Analysis` of `explain`.
        draw: a function from the source to a figure.
    """

    source: str
    draw: Callable[[Any], "Figure"]


PLOTS = {
    "curves": Plot("history", lambda x: curves.draw(x.metrics, x.monitored, x.plateaus, x.epoch, x.caption)),
    "confusion": Plot("analysis", lambda x: confusion.draw(x.tested, x.caption)),
    "mistakes": Plot("analysis", lambda x: mistakes.draw(x.tested, x.caption)),
    "calibration": Plot("analysis", lambda x: calibration.draw(x.tested, x.caption)),
    "features": Plot("explanation", lambda x: features.draw(x.predictions, x.features, x.channels, x.caption)),
    "heatmap": Plot("explanation", lambda x: heatmap.draw(x.predictions, x.strongest, x.caption)),
    "gates": Plot("analysis", lambda x: gate_profiles.draw(x.gate_profiles, x.test_labels, x.caption)),
    "gates-by-class": Plot("analysis", lambda x: gates_by_class.draw(x.gate_profiles, x.tested, x.caption)),
    "gates-by-depth": Plot("analysis", lambda x: gates_by_depth.draw(_of_channels(x), x.gate_history, x.caption)),
    "gates-by-image": Plot("explanation", lambda x: gates_by_image.draw(x.predictions, x.gates, x.caption)),
    "gates-by-position": Plot("explanation", lambda x: gates_by_position.draw(x.predictions, x.gate_maps, x.caption)),
    "attention-received": Plot(
        "explanation", lambda x: attention_received.draw(x.predictions, x.attention_received, x.caption)
    ),
    "removal": Plot("analysis", lambda x: removal.draw(x.removals, x.caption)),
    "cam": Plot("explanation", lambda x: cam.draw(x.predictions, x.targets, x.cams, x.caption)),
    "sanity": Plot("explanation", lambda x: sanity.draw(x.predictions, x.cams, x.caption)),
    "faithfulness": Plot("analysis", lambda x: faithfulness.draw(x.scored, x.caption)),
    "scores": Plot("analysis", lambda x: score_table.draw(x.scored, x.caption)),
}


def _of_channels(analysis):
    """The vital signs of the gates that weight channels, by name."""
    return {str(gate): analysis.signs[gate] for gate in analysis.gate_profiles}


def draw(name: str, **sources: Any) -> "Figure":
    """A plot of `PLOTS`.

    Args:
        name: name of the plot.
        sources: by name, as in `Plot.source`; only that of the plot is used.

    Raises:
        InputError: if the name is not known.
        plots.canvas.NothingToDrawError: if there is nothing to draw, such as gates in a plain network.
    """
    plot = lookup("plot", name, PLOTS)
    return plot.draw(sources[plot.source])
