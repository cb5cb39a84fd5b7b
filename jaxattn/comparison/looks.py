"""Interim looks at a comparison: the limit of p at each look, and the error rate with unplanned looks."""

import functools
import math
from collections.abc import Sequence

import numpy as np
import scipy

from jaxattn.comparison.statistics import ALPHA

NUMBERS, DRAWS = 6_000_000, 200_000  # upper limits: random numbers, simulated comparisons


def look_alpha(looks: Sequence[int], variants: int) -> float:
    """The limit of p at each of several looks that keeps the error rate of all looks together at 5 %.

    It is the same at each look (Pocock 1977, Biometrika 64:191), and found by simulating normal differences with a
    fixed seed.

    Args:
        looks: numbers of seeds, ascending.
        variants: how many are compared with the baseline at each look.
    """
    if len(looks) < 2:
        return ALPHA
    return min(ALPHA, float(np.quantile(_null_p(tuple(looks), (variants,) * len(looks)).min(axis=1), ALPHA)))


def real_alpha(looks: Sequence[int], variants: Sequence[int], alphas: Sequence[float]) -> float:
    """The probability of a false claim at any of several looks if there is no effect.

    Args:
        looks: numbers of seeds, ascending.
        variants: how many were compared with the baseline at each look; the first ones stay when others are added.
        alphas: the limit of the corrected p at each look.
    """
    return float((_null_p(tuple(looks), tuple(variants)) <= alphas).any(axis=1).mean())


@functools.lru_cache(maxsize=32)
def _null_p(looks, variants):
    """The smallest corrected p of the variants at each look, in comparisons without any effect: [DRAWS, L]."""
    count = max(variants) + 1  # with the baseline
    draws = min(DRAWS, NUMBERS // (count * len(looks)) + 1)
    random = np.random.default_rng(0)
    total, p = np.zeros((draws, count)), []
    for seeds, seeds_before, compared in zip(looks, (0, *looks), variants, strict=False):
        total += math.sqrt(seeds - seeds_before) * random.standard_normal(total.shape)
        largest = np.abs(total[:, 1 : compared + 1] - total[:, :1]).max(axis=1) / math.sqrt(2 * seeds)
        p.append(2 * compared * scipy.special.ndtr(-largest))
    return np.stack(p, axis=1)
