"""The plots by name: each is a function from arrays to a Matplotlib figure; nothing is computed from a network here.

A plot asks for what it draws by the names of its arguments; `explain.explanation.Explanation`,
`explain.analysis.Analysis` and `explain.analysis.History` have a value for each name. Adding a plot is a file here with
`draw`, and a line in `PLOTS`.
"""

from collections.abc import Callable

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
    gates_by_image,
    gates_by_position,
    heatmap,
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
    "heatmap": heatmap.draw,
    "gates": gate_profiles.draw,
    "gates-by-class": gates_by_class.draw,
    "gates-by-image": gates_by_image.draw,
    "gates-by-position": gates_by_position.draw,
    "attention-received": attention_received.draw,
    "cam": cam.draw,
    "sanity": sanity.draw,
    "faithfulness": faithfulness.draw,
    "scores": score_table.draw,
}
