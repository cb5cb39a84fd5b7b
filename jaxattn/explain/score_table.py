"""The table of scores: how faithful each kind of map is at each layer, as means over images."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxattn.explain.faithfulness import area
from jaxattn.types import Layer, MapKind, ScoredMaps


class Row(NamedTuple):
    """Means over images; None if a score cannot be computed.

    Attributes:
        kind: kind of map.
        layer: its layer; None for chance.
        mass_on_object: fraction of its attribution mass on the object, higher is better.
        pointing: fraction of maps whose maximum lies on the object, higher is better.
        deletion: area under the curve, lower is better.
        insertion: area under the curve, higher is better.
        similarity: rank correlation with the map under randomised weights, nearer to 0 is better.
    """

    kind: MapKind
    layer: Layer | None
    mass_on_object: float | None
    pointing: float | None
    deletion: float
    insertion: float
    similarity: float | None


BEST: dict[str, Callable] = {"mass_on_object": max, "pointing": max, "deletion": min, "insertion": max}
COLUMNS = (*BEST, "similarity")


def rows(scored: Sequence[ScoredMaps]) -> list[Row]:
    """The table: a row for each kind of map and layer, with means over the maps [N, h, w]; chance first."""
    return [_mean_scores(one) for one in sorted(scored, key=lambda one: one.kind != MapKind.CHANCE)]


def columns(table: Sequence[Row]) -> list[str]:
    """Names of the columns that have a value in some row."""
    return [name for name in COLUMNS if name == "similarity" or getattr(table[0], name) is not None]


def best(table: Sequence[Row], name: str) -> float | None:
    """The best value of a column; None for similarity, which should be near 0."""
    return BEST[name](getattr(row, name) for row in table) if name in BEST else None


def text(name: str, value: float | None) -> str:
    """A value of the column `name` as it is shown; "–" if there is none."""
    if value is None or np.isnan(value):
        return "–"
    return f"{value:.0%}" if name in ("mass_on_object", "pointing") else f"{round(value, 2) + 0.0:.2f}"  # no "-0.00"


def _mean_scores(one: ScoredMaps) -> Row:
    scores = one.scores
    on_object = None if scores.mass_on_object is None else float(scores.mass_on_object.mean())
    peak = None if scores.pointing is None else float(scores.pointing.mean())
    deletion, insertion = (float(area(curves).mean()) for curves in (scores.deletion, scores.insertion))
    return Row(one.kind, one.layer, on_object, peak, deletion, insertion, _mean_similarity(scores.similarity))


def _mean_similarity(similarity):
    """Mean over the maps that are not constant; None if all are."""
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        mean = float(np.nanmean(similarity))
    return None if np.isnan(mean) else mean
