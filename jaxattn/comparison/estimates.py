"""Mean differences with intervals that hold together: of all pairs of variants, and of other outcomes; no verdicts."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

from jaxattn.comparison.statistics import ALPHA, welch
from jaxattn.comparison.table import Scores, points

MOST = 12  # variants, of more not all pairs are listed


class Estimate(NamedTuple):
    """The mean difference of two variants.

    Attributes:
        name: of the variant, or of both.
        n: seeds that both have.
        mean: of the first less that of the second.
        low, high: its interval, at a level with which all intervals of a list hold together.
    """

    name: str
    n: int
    mean: float
    low: float
    high: float


def estimate(name: str, scores: Scores, others: Scores, family: int, factor: float = 100) -> Estimate | None:
    """The difference of two variants from their values by seed; None with fewer than two seeds, or no spread.

    Args:
        name: what to call it.
        scores, others: values by seed.
        family: how many intervals hold together with 95 %.
        factor: of the values, such as 100 for fractions that become points.
    """
    values, controls = (factor / 100 * part for part in points(scores, others, scores))
    test = welch(values, controls) if len(values) > 1 else None
    if test is None or (not test.error and test.mean):
        return None
    return Estimate(name, len(values), test.mean.item(), *test.interval(1 - ALPHA / family).tolist())


def pairs(accuracies: Mapping[str, Scores]) -> list[Estimate]:
    """Differences in accuracy of all pairs of variants, in points; none where there are fewer than 3, or more than 12.

    Args:
        accuracies: fractions by variant and seed.
    """
    if not 2 < len(accuracies) <= MOST:
        return []
    both = list(itertools.combinations(accuracies, 2))
    rows = [estimate(f"{one} – {other}", accuracies[one], accuracies[other], len(both)) for one, other in both]
    return [row for row in rows if row is not None]
