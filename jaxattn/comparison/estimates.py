"""Mean differences with simultaneous intervals, for all pairs of variants and for other outcomes; no verdicts."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

from jaxattn.comparison.statistics import ALPHA, welch
from jaxattn.comparison.table import Scores, points

MAX_LISTED = 20  # variants; with more, pairs are not listed


class Estimate(NamedTuple):
    """The mean difference of two variants.

    Attributes:
        name: the variant, or both.
        n: seeds that both have.
        mean: mean of the first minus mean of the second.
        low, high: its interval; all intervals of a list are simultaneous.
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
        family: how many intervals are to hold simultaneously at 95 %.
        factor: multiplies the values, such as 100 to turn fractions into points.
    """
    values, controls = (factor / 100 * part for part in points(scores, others, scores))
    test = welch(values, controls) if len(values) > 1 else None
    if test is None or (not test.error and test.mean):
        return None
    return Estimate(name, len(values), test.mean.item(), *test.interval(1 - ALPHA / family).tolist())


def pairs(accuracies: Mapping[str, Scores]) -> list[Estimate]:
    """Differences in accuracy of all pairs of variants, in points; none for fewer than 3 variants or more than 20.

    Args:
        accuracies: fractions by variant and seed.
    """
    if not 2 < len(accuracies) <= MAX_LISTED:
        return []
    both = list(itertools.combinations(accuracies, 2))
    rows = [estimate(f"{one} – {other}", accuracies[one], accuracies[other], len(both)) for one, other in both]
    return [row for row in rows if row is not None]
