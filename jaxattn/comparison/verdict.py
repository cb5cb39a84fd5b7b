"""Did the attention module help? One rule for all variants, decided before any result is seen: `judge`.

Variants are trained with the same seeds, and a seed gives all of them the same initial weights and batches. The rule
speaks once, when the planned seeds are complete. Whoever looks at 8 seeds, and trains 4 more where nothing was shown,
finds a difference that is not there in 7.3 % of comparisons with one variant, where the rule does in 4.3 %.

Source: arXiv:2103.03098 (paired runs, probability of outperforming); Fisher 1935 and Pitman 1937 (sign-flip test);
Holm 1979 (many variants); Schuirmann 1987 (equivalence); Berger 1982 (each control must be beaten).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxattn.comparison.statistics import (
    ALPHA,
    MARGIN,
    direction,
    equivalent,
    holm,
    pairs_needed,
    sign_flip_p,
    smallest_p,
    t_interval,
)
from jaxattn.errors import InputError, lookup

EFFECT = 0.5  # points; "cannot tell" says how many seeds it takes to see them

Kind = Literal["helps", "hurts", "equivalent", "cannot tell", "provisional", "none"]
Scores = Mapping[int, float]  # accuracy, a fraction, by seed


class Variant(NamedTuple):
    """A variant by itself.

    Attributes:
        name: such as "se".
        n: number of seeds.
        mean, sd: of the accuracies, fractions; None where there are no seeds, or fewer than two.
    """

    name: str
    n: int
    mean: float | None
    sd: float | None


class Difference(NamedTuple):
    """A variant minus the baseline, over the n seeds that both have.

    Attributes:
        n: number of pairs.
        mean, sd: of the differences, in points; sd is None for one pair.
        interval: 95 % t interval of the mean, in points; None for one pair.
        p: of the two-sided sign-flip test.
        holm: p, adjusted for the number of variants; None before the planned seeds are complete.
        wins: fraction of pairs in which the variant is better, ties half: how probably it beats the baseline.
        images: the mean as a number of test images; None where it is not known how many there are.
    """

    n: int
    mean: float
    sd: float | None
    interval: tuple[float, float] | None
    p: float
    holm: float | None
    wins: float
    images: float | None


class Verdict(NamedTuple):
    """What may be claimed of a variant: its kind, and one sentence to quote."""

    kind: Kind
    text: str


class Row(NamedTuple):
    """A line of the table. The baseline has no difference and no verdict; without a common seed, no difference."""

    variant: Variant
    difference: Difference | None
    verdict: Verdict | None


class Comparison(NamedTuple):
    """The table.

    Attributes:
        baseline: its name.
        planned: number of seeds.
        rows: the baseline first, then the other variants in the order in which they were given.
        balanced: mean balanced accuracy, a fraction, by variant; empty where the test set's classes are not unequal.
    """

    baseline: str
    planned: int
    rows: tuple[Row, ...]
    balanced: Mapping[str, float] = MappingProxyType({})


def judge(accuracies: Mapping[str, Scores], baseline: str, planned: int, images: int | None = None) -> Comparison:
    """Compares all variants with the baseline, and gives each its verdict.

    * "helps", "hurts": the sign-flip p, adjusted by Holm for all variants, is at most 5 %, and the 95 % t interval
      excludes 0. What helps and is no control must beat each control, too, or the sentence says that it does not.
      That needs no adjustment for their number, since all must be beaten.
    * "equivalent": not so, and two one-sided t tests, each at 5 %, rule out 0.3 points; or all runs are identical.
    * "cannot tell": neither.
    * "provisional", "none": fewer pairs than planned, fewer than two. For Holm's adjustment their p is 1: what is
      shown for the other variants stays so when more runs finish.

    Args:
        accuracies: fractions by variant and seed. Controls are `constant`, `random`, `shuffled` and `wide:...`.
        baseline: name of a variant.
        planned: number of seeds, decided before the first result.
        images: number of test images, where it is known.

    Raises:
        InputError: where there are fewer than two variants, the baseline is none of them, or an accuracy no fraction.
    """
    _check(accuracies)
    reference = lookup("baseline", baseline, accuracies)
    pairs = {name: paired(scores, reference) for name, scores in accuracies.items() if name != baseline}
    complete = {name: len(differences) >= max(planned, 2) for name, differences in pairs.items()}
    p = [sign_flip_p(differences).item() if complete[name] else 1.0 for name, differences in pairs.items()]
    rows = [Row(summary(baseline, reference), None, None)]
    for (name, differences), adjusted in zip(pairs.items(), holm(np.array(p)).tolist(), strict=True):
        verdict = _verdict(differences, adjusted, planned, len(pairs))
        if verdict.kind == "helps" and not _explains(name):
            controls = {other: paired(accuracies[name], accuracies[other]) for other in pairs if _explains(other)}
            verdict = Verdict("helps", verdict.text + _against(controls, planned))
        paired_difference = difference(differences, adjusted if complete[name] else None, images)
        rows.append(Row(summary(name, accuracies[name]), paired_difference, verdict))
    return Comparison(baseline, planned, tuple(rows))


def _check(accuracies):
    if len(accuracies) < 2:
        raise InputError(f"a comparison takes at least 2 variants, got {len(accuracies)}")
    for name, scores in accuracies.items():
        for seed, value in scores.items():
            if not 0 <= value <= 1:
                raise InputError(f"accuracy of {name}, seed {seed}, must be a fraction from 0 to 1, got {value}")


def summary(name: str, scores: Scores) -> Variant:
    """A variant by itself, from its accuracies: fractions by seed."""
    values = np.array(list(scores.values()), float)
    mean = values.mean().item() if len(values) else None
    return Variant(name, len(values), mean, values.std(ddof=1).item() if len(values) > 1 else None)


def paired(scores: Scores, others: Scores) -> Float[np.ndarray, " n"]:
    """Differences [n] of two variants over the n seeds that both have, in points, from fractions by seed."""
    return np.array([100 * (scores[seed] - others[seed]) for seed in sorted(scores.keys() & others.keys())], float)


def difference(
    differences: Float[np.ndarray, " n"], adjusted: float | None = None, images: int | None = None
) -> Difference | None:
    """What is known of the mean of differences [n] in points, n of any size; None where n is 0.

    Args:
        differences: [n], in points.
        adjusted: p, adjusted for the number of variants.
        images: number of test images, where it is known.
    """
    n = len(differences)
    if n == 0:
        return None
    mean, p = differences.mean().item(), sign_flip_p(differences).item()
    wins = float(np.mean(differences > 0) + np.mean(differences == 0) / 2)
    sd, interval = (differences.std(ddof=1).item(), _interval(differences)) if n > 1 else (None, None)
    return Difference(n, mean, sd, interval, p, adjusted, wins, None if images is None else mean / 100 * images)


def _interval(differences, level=0.95):
    low, high = t_interval(differences, level).tolist()
    return low, high


def _verdict(differences, adjusted, planned, family) -> Verdict:
    n = len(differences)
    if n < 2:
        return Verdict("none", f"{'one seed: no spread' if n else 'no seed in common with the baseline'}, no verdict")
    mean, ends = _mean_and_interval(differences)
    if n < planned:
        return Verdict("provisional", f"provisional, {n} of {planned} seeds: {mean} so far")
    if not differences.any():
        return Verdict("equivalent", f"identical in all {n} seeds")
    shown, small = int(direction(differences, np.array(adjusted))), bool(equivalent(differences))
    if shown:
        kind: Kind = "helps" if shown > 0 else "hurts"
        return Verdict(kind, f"{kind}: {mean} ({ends}), {n} seeds{f'; less than {MARGIN} points' if small else ''}")
    if small:
        # the interval that was tested; that of 95 % may be wider than the margin
        _, ends = _mean_and_interval(differences, 0.9)
        return Verdict("equivalent", f"no effect larger than {MARGIN} points ({ends}), {n} seeds")
    few = ", too few to show any difference" if smallest_p(n) * family > ALPHA else ""
    takes = pairs_needed(differences.std(ddof=1).item(), EFFECT, alpha=ALPHA / family)
    seen = f"seeing {EFFECT} points takes {takes} seeds" if takes > n else f"they are enough to see {EFFECT} points"
    return Verdict("cannot tell", f"cannot tell: {mean} ({ends}), {n} seeds{few}; at this spread, {seen}")


def _mean_and_interval(differences, level=0.95):
    low, high = _interval(differences, level)
    # one digit, or as many as keep an end that is not 0 from being printed as 0
    digits = next((digits for digits in (1, 2) if all(end == 0 or round(end, digits) for end in (low, high))), 3)
    mean = f"{differences.mean():+z.{digits}f} points"
    return mean, f"{100 * level:.0f} % {low:z.{digits}f} to {high:z.{digits}f}"


def _explains(name):
    """What explains the gain of a control; None for other variants."""
    if name.startswith("wide:"):
        return "capacity"
    return "scaling" if name in ("constant", "random", "shuffled") else None


def _against(controls, planned):
    """The end of the sentence on a variant that helps, from its differences [n] to each control."""
    beaten, doubts = [], []
    for name, differences in controls.items():
        if len(differences) < max(planned, 2):
            doubts.append(f"it shares only {len(differences)} of {planned} seeds with the control {name} so far")
        elif direction(differences, sign_flip_p(differences)) > 0:
            beaten.append(name)
        else:
            mean, ends = _mean_and_interval(differences)
            doubts.append(
                f"it is not shown to beat the control {name} ({mean}, {ends}): {_explains(name)} may explain it"
            )
    if doubts:
        return ", but " + "; ".join(doubts)
    return f"; it also beats {', '.join(beaten)}" if beaten else ""
