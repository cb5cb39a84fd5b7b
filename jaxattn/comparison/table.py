"""The table of a comparison: its variants, their differences from the baseline, and what may be claimed about each."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxattn.comparison.statistics import welch

Kind = Literal["helps", "hurts", "equivalent", "cannot tell", "provisional", "none"]
DECIDED = {"helps", "hurts", "equivalent"}  # verdicts after which no more seeds are trained
Scores = Mapping[int, float]  # accuracy, a fraction, by seed
Points = Float[np.ndarray, " n"]


class Variant(NamedTuple):
    """A variant by itself.

    Attributes:
        name: such as "se".
        n: number of seeds.
        mean, sd: mean and standard deviation of the accuracies, fractions; None with no seeds, or fewer than two.
    """

    name: str
    n: int
    mean: float | None
    sd: float | None


class Difference(NamedTuple):
    """A variant minus the baseline, over the n seeds that both have.

    Attributes:
        n: number of seeds.
        mean: mean of the differences, in points.
        interval: of the mean, in points, at `Family.level`; it decides the verdict. None with one seed, or if the runs
            of neither variant differ and the mean is not 0: the spread is then unknown.
        p: two-sided, of Welch's test; None if there is no interval.
        corrected: p, times the number of variants in the family, at most 1; None if there is no interval.
        wins: probability that a run of the variant is better than one of the baseline; ties count half.
        correlation: of the accuracies with the same seed; None with fewer than three seeds, or if one has no spread.
        images: the mean as a number of test images; None if it is not known how many there are.
    """

    n: int
    mean: float
    interval: tuple[float, float] | None
    p: float | None
    corrected: float | None
    wins: float
    correlation: float | None
    images: float | None


class Verdict(NamedTuple):
    """What may be claimed about a variant: the kind of verdict, and one sentence to quote."""

    kind: Kind
    text: str


class Row(NamedTuple):
    """A line of the table. The baseline has no difference and no verdict; without a common seed, no difference."""

    variant: Variant
    difference: Difference | None
    verdict: Verdict | None


class Family(NamedTuple):
    """Simultaneous intervals: those of all modules, or those of all controls.

    Attributes:
        variants: how many are compared with the baseline.
        looks: at how many looks.
        alpha: the limit of p at one look, for all variants together.
    """

    variants: int
    looks: int
    alpha: float

    @property
    def level(self) -> float:
        """The level of a single interval."""
        return 1 - self.alpha / self.variants

    @property
    def words(self) -> str:
        """The level of all together, such as "95 % for 3 variants and 2 looks together,"."""
        several = [f"{n} {name}" for n, name in ((self.variants, "variants"), (self.looks, "looks")) if n > 1]
        return f"95 % for {' and '.join(several)} together," if several else "95 %"


class Comparison(NamedTuple):
    """The table.

    Attributes:
        baseline: its name.
        looks: numbers of seeds at which the variants are judged; the last is the planned number. Empty without a plan.
        margin: in points; a smaller difference counts as none.
        rows: the baseline first, then the other variants in the order in which they were given.
        balanced: mean balanced accuracy, a fraction, by variant; empty if the test set's classes are of similar size.
    """

    baseline: str
    looks: tuple[int, ...]
    margin: float
    rows: tuple[Row, ...]
    balanced: Mapping[str, float] = MappingProxyType({})


def summary(name: str, scores: Scores) -> Variant:
    """A variant by itself, from its accuracies: fractions by seed."""
    values = np.array(list(scores.values()), float)
    mean = values.mean().item() if len(values) else None
    return Variant(name, len(values), mean, values.std(ddof=1).item() if len(values) > 1 else None)


def difference(values: Points, others: Points, family: Family, images: int | None = None) -> Difference | None:
    """The mean difference of two variants over n seeds, in points, with its statistics; None if n is 0.

    Args:
        values, others: accuracies [n] of the variant and of the baseline, in points, by common seed.
        family: the simultaneous intervals that this one belongs to.
        images: number of test images, if known.
    """
    n = len(values)
    if n == 0:
        return None
    mean = (values - others).mean().item()
    wins = float((np.sign(values[:, None] - others) / 2 + 0.5).mean())
    counted = None if images is None else mean / 100 * images
    test = welch(values, others) if n > 1 else None
    if test is None or (not test.error and mean):
        return Difference(n, mean, None, None, None, wins, None, counted)
    spread = min(np.ptp(values), np.ptp(others))
    low, high = test.interval(family.level).tolist()
    p = test.p().item()
    correlation = float(np.corrcoef(values, others)[0, 1]) if n > 2 and spread else None
    return Difference(n, mean, (low, high), p, min(1.0, family.variants * p), wins, correlation, counted)


def points(scores: Scores, others: Scores, seeds: Iterable[int]) -> tuple[Points, Points]:
    """The accuracies [n] of two variants, in points, for those of the seeds that both have, in ascending order."""
    common = [seed for seed in sorted(seeds) if seed in scores and seed in others]
    one, other = (100 * np.array([values[seed] for seed in common], float) for values in (scores, others))
    return one, other


def explains(name: str) -> str | None:
    """What explains the gain of a control; None for other variants."""
    attention = attention_of(name)
    if attention.startswith("wide:"):
        return "capacity"
    return "scaling" if attention in ("constant", "random", "shuffled") else None


def attention_of(name: str) -> str:
    """The attention of a variant, without its sites and settings: "wide:se" of "wide:se@3" and "wide:se:ema=0"."""
    return re.split(r"@|:(?=[a-z_]+=)", name, maxsplit=1)[0]
