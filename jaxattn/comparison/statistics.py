"""Tests, intervals and planning for differences of two variants, as `verdict.judge` applies them. NumPy and SciPy only.

A variant's accuracies are those of its runs, one for each seed. Leading axes, if allowed, hold many comparisons.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Bool, Float, Integer

from jaxattn.errors import InputError
from jaxattn.metrics import frequencies

ALPHA, POWER = 0.05, 0.8
MIN_SEEDS = 3  # with two, the spread is hardly known
MAX_SEEDS = 1000  # a run each: more would never finish


class Welch(NamedTuple):
    """A mean difference of two variants [...], in the unit of their values.

    Attributes:
        mean: mean of the first minus mean of the second.
        error: its standard error.
        freedom: its degrees of freedom.
    """

    mean: Float[np.ndarray, "*B"]
    error: Float[np.ndarray, "*B"]
    freedom: Float[np.ndarray, "*B"]

    def interval(self, level: float) -> Float[np.ndarray, "*B 2"]:
        """The interval [..., 2] of the mean difference at a level, such as 0.95; it has no width if no value varies."""
        half = scipy.special.stdtrit(self.freedom, (1 + level) / 2) * self.error
        return np.stack([self.mean - half, self.mean + half], axis=-1)

    def p(self) -> Float[np.ndarray, "*B"]:
        """Two-sided p [...] for no difference."""
        t = np.divide(np.abs(self.mean), self.error, out=np.full_like(self.mean, np.inf), where=self.error > 0)
        return np.where((self.error == 0) & (self.mean == 0), 1.0, 2 * scipy.special.stdtr(self.freedom, -t))


def welch(values: Float[np.ndarray, "*B n"], others: Float[np.ndarray, "*#B k"]) -> Welch:
    """The difference of the means of two samples [..., n] and [..., k], n and k above 1, whose spreads may differ.

    Leading axes of the second may be 1: many variants are then compared with one baseline.

    Source: Welch 1947, Biometrika 34:28.
    """
    parts = [sample.var(axis=-1, ddof=1) / sample.shape[-1] for sample in (values, others)]
    parts = [
        np.where(np.ptp(sample, axis=-1) > 0, part, 0) for sample, part in zip((values, others), parts, strict=True)
    ]
    variance = parts[0] + parts[1]
    squares = parts[0] ** 2 / (values.shape[-1] - 1) + parts[1] ** 2 / (others.shape[-1] - 1)
    least = float(min(values.shape[-1], others.shape[-1]) - 1)
    freedom = np.divide(variance**2, squares, out=np.full_like(variance, least), where=squares > 0)
    return Welch(values.mean(axis=-1) - others.mean(axis=-1), np.sqrt(variance), freedom)


def t_interval(differences: Float[np.ndarray, "*B n"], level: float = 0.95) -> Float[np.ndarray, "*B 2"]:
    """Student's interval [..., 2] of the mean of differences [..., n]; NaN if n is below 2."""
    n = differences.shape[-1]
    if n < 2:
        return np.full((*differences.shape[:-1], 2), np.nan)
    half = scipy.special.stdtrit(n - 1, (1 + level) / 2) * differences.std(axis=-1, ddof=1) / math.sqrt(n)
    mean = differences.mean(axis=-1)
    return np.stack([mean - half, mean + half], axis=-1)


def power(seeds: int, sd: float, effect: float, alpha: float = ALPHA) -> float:
    """The probability that Welch's test shows an effect, for runs whose spread is the same in both variants.

    The chance of showing an effect of the wrong sign is left out: it is nearly 0 unless the power is low.

    Args:
        seeds: number of seeds of each variant, two or more.
        sd: standard deviation of a run's accuracy, above 0.
        effect: above 0, in the unit of `sd`.
        alpha: limit of p, divided by the number of variants.
    """
    freedom = 2 * (seeds - 1)
    shift = min(effect / sd * math.sqrt(seeds / 2), 40)  # beyond, the power is 1
    return float(scipy.stats.nct.sf(scipy.special.stdtrit(freedom, 1 - alpha / 2), freedom, shift))


def seeds_needed(sd: float, effect: float, alpha: float = ALPHA) -> int:
    """The smallest number of seeds, from 3 to 1,000, that shows an effect with a power of 80 %; see `power`.

    Raises:
        InputError: if the effect is not above 0.
    """
    if not effect > 0:
        raise InputError(f"effect must be above 0, got {effect}")
    if not sd:
        return MIN_SEEDS
    return next((n for n in range(MIN_SEEDS, MAX_SEEDS) if power(n, sd, effect, alpha) >= POWER), MAX_SEEDS)


def seeds_range(sd: float, freedom: float, effect: float, alpha: float = ALPHA, level: float = 0.8) -> tuple[int, int]:
    """`seeds_needed` for both ends of the interval of an estimated standard deviation.

    Args:
        sd: the estimate.
        freedom: its degrees of freedom.
        effect, alpha: as for `power`.
        level: level of the interval.
    """
    quantiles = scipy.stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], freedom)
    least, most = (seeds_needed(sd * math.sqrt(freedom / quantile), effect, alpha) for quantile in quantiles)
    return least, most


def outliers(values: Float[np.ndarray, " n"], resolution: float, limit: float = 5.0) -> Bool[np.ndarray, " n"]:
    """Which values [n] lie further from the median than `limit` robust standard deviations: bool [n].

    The robust standard deviation is the larger of 1.4826 times the median distance from the median, which is 0 if half
    of the values are equal, and the interquartile range divided by 1.349; at least `resolution`. Fewer than 5 values
    have no outliers. Source: Hampel 1974, J. Am. Stat. Assoc. 69:383.
    """
    if len(values) < 5:
        return np.zeros(len(values), bool)
    distance = np.abs(values - np.median(values))
    robust = max(1.4826 * np.median(distance), np.subtract(*np.quantile(values, [0.75, 0.25])) / 1.349, resolution)
    return distance > limit * robust


def crossed_interval(correct_a: Bool[np.ndarray, "S N"], correct_b: Bool[np.ndarray, "S N"]) -> tuple[float, float]:
    """95 % interval of the difference for new seeds and new images, in points; NaN with one seed.

    Half its width is the quantile of t with S - 1 degrees of freedom, times the standard error of a bootstrap over
    seeds and images together, which is computed in closed form. It is corrected for few seeds, by S / (S - 1), and for
    the noise of single predictions, which the bootstrap counts three times: in seeds, in images, and by itself. The
    interval is never shorter than the one for new seeds alone.

    Args:
        correct_a, correct_b: bool [S, N], whether the variant's and the baseline's network of each seed classifies each
            test image correctly.

    Source: arXiv:2106.16163 (the paired multi-bootstrap); Owen 2007, Ann. Appl. Stat. 1(2):386 (what it counts);
    Cameron, Gelbach & Miller 2011, J. Bus. Econ. Stat. 29(2):238 (the correction).
    """
    change = 100.0 * correct_a - 100.0 * correct_b
    S, N = change.shape
    if S < 2:
        return math.nan, math.nan
    by_seed, by_image, mean = change.mean(axis=1), change.mean(axis=0), change.mean().item()
    seeds, images = by_seed.var(ddof=1) / S, by_image.var() / N
    residuals = (change - by_seed[:, None] - by_image + mean).var() / ((S - 1) * N)
    variance = max(seeds, seeds + images - residuals)
    half = float(scipy.special.stdtrit(S - 1, 1 - ALPHA / 2) * math.sqrt(variance))
    return mean - half, mean + half


def class_differences(
    correct_a: Bool[np.ndarray, "S N"],
    correct_b: Bool[np.ndarray, "S N"],
    labels: Integer[np.ndarray, " N"],
    classes: int,
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, "K 2"]]:
    """Mean difference of each class over seeds, in points, with simultaneous intervals.

    Each is a t interval at 1 - 0.05 / K (Bonferroni): with 95 % probability, all K contain their mean over new seeds.

    Args:
        correct_a, correct_b: bool [S, N], as for `crossed_interval`.
        labels: int [N], the true classes.
        classes: K.

    Returns:
        Points [K] and intervals [K, 2]; NaN for a class without images, and for the intervals with one seed.
    """
    count = frequencies(labels, classes)[:, None]
    change = correct_a.astype(float) - correct_b
    total = np.stack([np.bincount(labels, one, minlength=classes) for one in change], axis=1)
    by_seed = np.where(count > 0, 100 * total / np.maximum(count, 1), np.nan)
    return by_seed.mean(axis=1), t_interval(by_seed, 1 - ALPHA / classes)
