"""The pictures by name: each is a function from arrays to a Matplotlib figure.

A plot asks for what it draws by the names of its arguments, and `jaxattn.pictures` has a value for each name. Adding
one is a file here with `draw`, and a line in `PLOTS`.
"""

from collections.abc import Callable

from jaxattn.plots import (
    attended,
    calibration,
    cams,
    confusion,
    curves,
    faithfulness,
    features,
    gate_atlas,
    gate_maps,
    gate_profiles,
    heatmaps,
    mistakes,
    sanity,
    score_table,
)

PLOTS: dict[str, Callable] = {
    "curves": curves.draw,
    "confusion": confusion.draw,
    "mistakes": mistakes.draw,
    "calibration": calibration.draw,
    "features": features.draw,
    "heatmap": heatmaps.draw,
    "gates": gate_profiles.draw,
    "gates-by-class": gate_atlas.draw,
    "gates-by-place": gate_maps.draw,
    "attended": attended.draw,
    "cam": cams.draw,
    "sanity": sanity.draw,
    "faithfulness": faithfulness.draw,
    "scores": score_table.draw,
}
