"""Tests, intervals and planning for paired differences, as `verdict.judge` applies them. NumPy and SciPy only.

Differences are those of two variants that were trained with the same seeds, one for each seed. Where leading axes are
allowed, many comparisons are made at once.
"""

import bisect
import functools
import math

import numpy as np
import scipy
from jaxtyping import Bool, Float, Integer

from jaxattn.errors import InputError
from jaxattn.metrics import frequencies

ALPHA, POWER = 0.05, 0.8
MARGIN = 0.3  # points; a difference that is surely smaller counts as none
EXACT, DRAWS = 16, 99_999  # pairs up to which all sign patterns are counted, and how many random ones above


def t_interval(differences: Float[np.ndarray, "*B n"], level: float = 0.95) -> Float[np.ndarray, "*B 2"]:
    """Student's interval [..., 2] of the mean of differences [..., n]; NaN where n is below 2."""
    n = differences.shape[-1]
    if n < 2:
        return np.full((*differences.shape[:-1], 2), np.nan)
    half = scipy.special.stdtrit(n - 1, (1 + level) / 2) * differences.std(axis=-1, ddof=1) / math.sqrt(n)
    mean = differences.mean(axis=-1)
    return np.stack([mean - half, mean + half], axis=-1)


def sign_flip_p(differences: Float[np.ndarray, "*B n"]) -> Float[np.ndarray, "*B"]:
    """Two-sided p [...] of differences [..., n], n above 0: how often random signs give a mean at least as large.

    Exact up to 16 pairs. Above, from 99,999 random patterns, the observed one counted with them.

    Source: Fisher 1935; Pitman 1937; Phipson & Smyth 2010 (the observed pattern counts).
    """
    n = differences.shape[-1]
    rounding = 1e-9 * np.abs(differences).sum(axis=-1, keepdims=True)
    observed = np.abs(differences.sum(axis=-1, keepdims=True)) - rounding
    count = (np.abs(differences @ _signs(n).T) >= observed).sum(axis=-1)
    return np.asarray((count + (n > EXACT)) / (len(_signs(n)) + (n > EXACT)))


@functools.lru_cache(maxsize=4)
def _signs(n):
    if n > EXACT:
        return np.random.default_rng(0).choice([-1.0, 1.0], (DRAWS, n))
    return 1.0 - 2 * (np.arange(2 ** (n - 1))[:, None] >> np.arange(n) & 1)  # the last sign is +, by symmetry


def smallest_p(n: int) -> float:
    """The smallest p that n pairs can give: that of differences which all have one sign."""
    return 2 / 2**n


def holm(p: Float[np.ndarray, "*B m"]) -> Float[np.ndarray, "*B m"]:
    """p of m tests [..., m], adjusted: a limit then holds for an error in any of them. Source: Holm 1979."""
    order, m = np.argsort(p, axis=-1), p.shape[-1]
    ranked = np.take_along_axis(p, order, axis=-1) * (m - np.arange(m))
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(ranked, axis=-1).clip(max=1), axis=-1)
    return adjusted


def direction(differences: Float[np.ndarray, "*B n"], p: Float[np.ndarray, "*B"]) -> Integer[np.ndarray, "*B"]:
    """1 where differences [..., n] are shown to be above 0, -1 below, 0 neither: int [...].

    Shown: the (adjusted) sign-flip p [...] is at most 5 %, and the 95 % t interval excludes 0.
    """
    low, high = np.moveaxis(t_interval(differences), -1, 0)
    return np.where(p <= ALPHA, (low > 0).astype(int) - (high < 0), 0)


def equivalent(differences: Float[np.ndarray, "*B n"], margin: float = MARGIN) -> Bool[np.ndarray, "*B"]:
    """Whether a mean of `margin` or more, up or down, is ruled out by differences [..., n], in points: bool [...].

    Two one-sided t tests, each at 5 %: the 90 % t interval lies within the margin. Source: Schuirmann 1987.
    """
    return np.asarray((np.abs(t_interval(differences, 0.9)) < margin).all(axis=-1))


def pairs_needed(sd: float, effect: float, power: float = POWER, alpha: float = ALPHA) -> int:
    """The smallest number of pairs whose paired t test finds an effect with the given power.

    And whose sign-flip test can give a p of `alpha`: only this counts where `sd` is 0. The t test is two-sided; the
    chance that it finds an effect of the wrong sign is left out, it is below a millionth.

    Args:
        sd: standard deviation of the differences.
        effect: above 0, in the unit of `sd`.
        power: 0.8 is customary.
        alpha: limit of p, divided by the number of variants.

    Raises:
        InputError: where the effect is not above 0.
    """
    if not effect > 0:
        raise InputError(f"effect must be above 0, got {effect}")
    least = math.ceil(math.log2(2 / alpha))

    def suffices(n):
        shift = min(effect * math.sqrt(n) / sd, 20) if sd else 20  # beyond, the power is 1
        return scipy.stats.nct.sf(scipy.special.stdtrit(n - 1, 1 - alpha / 2), n - 1, shift) >= power

    return least + bisect.bisect_left(range(least, 10**7), True, key=suffices)


def crossed_interval(correct_a: Bool[np.ndarray, "S N"], correct_b: Bool[np.ndarray, "S N"]) -> tuple[float, float]:
    """95 % interval of the difference for new seeds and new images, in points; NaN with one seed.

    Half its width is the quantile of t with S - 1 degrees of freedom, times the standard error of a bootstrap that
    draws seeds and images together, in closed form: nothing is drawn. It is corrected for few seeds, by S / (S - 1),
    and for the noise of single answers, which the bootstrap counts three times: for seeds, for images, and by itself.
    The interval is never shorter than the one for new seeds alone.

    Args:
        correct_a, correct_b: bool [S, N], whether the variant's and the baseline's network of each seed was right on
            each test image.

    Source: arXiv:2106.16163, the paired multi-bootstrap; Owen 2007, Ann. Appl. Stat. 1(2):386, what it counts; Cameron,
    Gelbach & Miller 2011, J. Bus. Econ. Stat. 29(2):238, the correction.
    """
    change = 100.0 * correct_a - 100.0 * correct_b
    S, N = change.shape
    if S < 2:
        return math.nan, math.nan
    by_seed, by_image, mean = change.mean(axis=1), change.mean(axis=0), change.mean().item()
    seeds, images = by_seed.var(ddof=1) / S, by_image.var() / N
    answers = (change - by_seed[:, None] - by_image + mean).var() / ((S - 1) * N)
    variance = max(seeds, seeds + images - answers)
    half = float(scipy.special.stdtrit(S - 1, 1 - ALPHA / 2) * math.sqrt(variance))
    return mean - half, mean + half


def class_differences(
    correct_a: Bool[np.ndarray, "S N"],
    correct_b: Bool[np.ndarray, "S N"],
    labels: Integer[np.ndarray, " N"],
    classes: int,
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, "K 2"]]:
    """Mean difference of each class over seeds in points, with intervals that hold for all classes together.

    Each is a t interval at 1 - 0.05 / K (Bonferroni): with 95 % probability, all K contain their mean over new seeds.

    Args:
        correct_a, correct_b: bool [S, N], as for `crossed_interval`.
        labels: int [N], the true classes.
        classes: K.

    Returns:
        Points [K] and intervals [K, 2]; a class without an image has NaN, and so have intervals of one seed.
    """
    count = frequencies(labels, classes)[:, None]
    change = correct_a.astype(float) - correct_b
    total = np.stack([np.bincount(labels, one, minlength=classes) for one in change], axis=1)
    by_seed = np.where(count > 0, 100 * total / np.maximum(count, 1), np.nan)
    return by_seed.mean(axis=1), t_interval(by_seed, 1 - ALPHA / classes)
