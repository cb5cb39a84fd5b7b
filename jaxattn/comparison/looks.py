"""Several looks at the seeds of a comparison: the limit of p at each, and what looks cost that were not planned."""

import functools
import math
from collections.abc import Sequence

import numpy as np
import scipy

from jaxattn.comparison.statistics import ALPHA

NUMBERS, DRAWS = 6_000_000, 200_000  # random numbers and comparisons that are simulated, at most


def look_alpha(looks: Sequence[int], variants: int) -> float:
    """The limit of p at each of several looks, with which all of them together keep 5 %.

    The same at each look, as of Pocock 1977 (Biometrika 64:191); found by simulation of normal differences, with a
    fixed seed.

    Args:
        looks: numbers of seeds, ascending.
        variants: that are compared with the baseline at each look.
    """
    if len(looks) < 2:
        return ALPHA
    return min(ALPHA, float(np.quantile(_null_p(tuple(looks), (variants,) * len(looks)).min(axis=1), ALPHA)))


def real_alpha(looks: Sequence[int], variants: Sequence[int], alphas: Sequence[float]) -> float:
    """How often something is claimed at any of several looks where there is no effect.

    Args:
        looks: numbers of seeds, ascending.
        variants: that were compared with the baseline at each of them; the first ones stay when others are added.
        alphas: the limit of p, corrected for the variants, at each of them.
    """
    return float((_null_p(tuple(looks), tuple(variants)) <= alphas).any(axis=1).mean())


@functools.lru_cache(maxsize=32)
def _null_p(looks, variants):
    """The smallest p of the variants at each look, corrected for them, in comparisons without any effect [DRAWS, L]."""
    count = max(variants) + 1  # with the baseline
    draws = min(DRAWS, NUMBERS // (count * len(looks)) + 1)
    random = np.random.default_rng(0)
    total, p = np.zeros((draws, count)), []
    for seeds, seeds_before, compared in zip(looks, (0, *looks), variants, strict=False):
        total += math.sqrt(seeds - seeds_before) * random.standard_normal(total.shape)
        largest = np.abs(total[:, 1 : compared + 1] - total[:, :1]).max(axis=1) / math.sqrt(2 * seeds)
        p.append(2 * compared * scipy.special.ndtr(-largest))
    return np.stack(p, axis=1)
