"""Did the attention module help? One rule for all variants, decided before any result is seen: `judge`.

One interval decides: Welch's, of the difference of two means, whose spreads may differ. At its level, all intervals of
a family hold simultaneously (Bonferroni), at all planned looks. Seeds are not paired: the accuracies of two variants
with the same seed were hardly correlated when the rule was chosen. If the correlation is positive, the rule claims
less, if it is negative, more; `experiments/rule` measures its error rate and its power.

Source: Welch 1947 (unequal spreads); Dunn 1961 (many variants); Pocock 1977 (looks); Schuirmann 1987 (equivalence);
Berger 1982 (each control must be beaten).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from jaxattn.comparison import MARGIN, sentences
from jaxattn.comparison.looks import look_alpha, real_alpha
from jaxattn.comparison.statistics import ALPHA, MIN_SEEDS, welch
from jaxattn.comparison.table import (
    Comparison,
    Difference,
    Family,
    Row,
    Scores,
    Verdict,
    attention_of,
    difference,
    explains,
    points,
    summary,
)
from jaxattn.errors import InputError, lookup

Failed = Mapping[str, Collection[int]]  # seeds of each variant


class Earlier(NamedTuple):
    """A plan of which results may have been seen before it was extended.

    Attributes:
        looks: the numbers of seeds at which they may have been seen, ascending.
        variants: the names of its variants; empty if they are the same as now.
        date: date of the extension, such as "2026-08-01"; empty if it is not known.
        planned: the looks that were planned, which set the limit of p at each; empty if they are `looks`.
    """

    looks: tuple[int, ...]
    variants: tuple[str, ...] = ()
    date: str = ""
    planned: tuple[int, ...] = ()


class _Rule(NamedTuple):
    """What all variants of a comparison share."""

    accuracies: Mapping[str, Scores]
    baseline: str
    looks: tuple[int, ...]
    failed: Failed
    margin: float
    earlier: tuple[Earlier, ...]
    images: int | None
    modules: bool
    parameters: Mapping[str, int]

    def control(self, name: str) -> str | None:
        """What explains the gain of a control; None for other variants."""
        return explains(name) if self.modules else None


def judge(  # noqa: PLR0913
    accuracies: Mapping[str, Scores], baseline: str, looks: Sequence[int] = (), images: int | None = None, *,
    margin: float = MARGIN, failed: Failed = MappingProxyType({}), earlier: Sequence[Earlier] = (),
    modules: bool = True, parameters: Mapping[str, int] = MappingProxyType({}),
) -> Comparison:  # fmt: skip
    """Compares all variants with the baseline, and gives each its verdict, at the first look that is conclusive.

    * "helps", "hurts": the interval of the mean difference is above 0, or below. A module that helps must beat each
      control, too, or the sentence says that it does not. The number of controls needs no correction, since all must
      be beaten.
    * "equivalent": otherwise, if the interval is within the margin, or all runs are identical.
    * "cannot tell": otherwise.
    * "provisional", "none": fewer seeds than the first look, or fewer than two.

    Modules are one family, and controls (`constant`, `random`, `shuffled`, `wide:...`) are another.

    Args:
        accuracies: fractions by variant and seed.
        baseline: name of a variant.
        looks: numbers of seeds, ascending, decided before the first result; empty for one look at all common seeds.
        images: number of test images, if known.
        margin: in points; a smaller difference counts as none.
        failed: the seeds whose runs failed; a look does not wait for them.
        earlier: plans of which results may have been seen before this one extended them, oldest first.
        modules: whether the names are those of attention modules; otherwise no variant is a control.
        parameters: numbers of parameters by variant, if known: a control of another size is named as such.

    Raises:
        InputError: if there are fewer than two variants, the baseline is none of them, an accuracy is not a fraction,
            the margin is not above 0, or looks are not ascending.
    """
    looks = tuple(looks)
    _check(accuracies, looks, margin)
    reference = lookup("baseline", baseline, accuracies)
    rule = _Rule(accuracies, baseline, looks, failed, margin, tuple(earlier), images, modules, parameters)
    others = [name for name in accuracies if name != baseline]
    rows = [Row(summary(name, accuracies[name]), *_judged(name, rule)) for name in others]
    return Comparison(baseline, looks, margin, (Row(summary(baseline, reference), None, None), *rows))


def _check(accuracies, looks, margin):
    if len(accuracies) < 2:
        raise InputError(f"a comparison takes at least 2 variants, got {len(accuracies)}")
    if not 0 < margin < 100:
        raise InputError(f"margin must be above 0 and below 100 points, got {margin}", "margin")
    if list(looks) != sorted(set(looks)) or any(look < 1 for look in looks) or (len(looks) > 1 and looks[0] < 2):
        rule = "ascending numbers above 0, and the first of several above 1"
        raise InputError(f"seeds must be {rule}, got {', '.join(map(str, looks))}", "seeds")
    for name, scores in accuracies.items():
        for seed, value in scores.items():
            if not 0 <= value <= 1:
                raise InputError(f"accuracy of {name}, seed {seed}, must be a fraction from 0 to 1, got {value}")


def family_of(
    name: str, accuracies: Collection[str], baseline: str, looks: Sequence[int], modules: bool = True
) -> Family:
    """The family of a variant: all modules of a comparison, or all controls, without the baseline.

    Args:
        name: name of the variant.
        accuracies: names of all variants.
        baseline, looks, modules: as for `judge`.
    """
    others = [other for other in accuracies if other != baseline]
    variants = sum(not modules or (explains(other) is None) == (explains(name) is None) for other in others)
    return Family(variants, max(len(looks), 1), look_alpha(looks, variants))


def _judged(name, rule) -> tuple[Difference | None, Verdict]:
    """The difference and the verdict of a variant."""
    scores, reference = rule.accuracies[name], rule.accuracies[rule.baseline]
    family = family_of(name, rule.accuracies, rule.baseline, rule.looks, rule.modules)
    values, others = points(scores, reference, scores)
    result = difference(values, others, family, rule.images)
    if len(values) < 2:
        return result, Verdict("none", sentences.no_spread(len(values)))
    if rule.looks and not any(True for _ in _looks(name, rule)):
        first = sorted({*scores, *reference, *rule.failed.get(name, ())})[: rule.looks[0]]
        done = len(points(scores, reference, first)[0])
        return result, Verdict("provisional", sentences.provisional(values, others, done, rule.looks[0]))
    for look, seeds in _looks(name, rule):
        values, others = points(scores, reference, seeds)
        verdict = _decided(name, look, seeds, family, rule)
        if verdict.kind != "cannot tell":
            break
    return difference(values, others, family, rule.images), verdict


def _looks(name, rule) -> Iterator[tuple[int, list[int]]]:
    """The looks that are complete for a variant: numbers of seeds, and the seeds, two or more of them finished."""
    scores, reference = rule.accuracies[name], rule.accuracies[rule.baseline]
    if not rule.looks:
        common = sorted(scores.keys() & reference.keys())
        yield len(common), common
    failed = {*rule.failed.get(name, ()), *rule.failed.get(rule.baseline, ())} - (scores.keys() & reference.keys())
    seeds = sorted({*scores, *reference, *failed})
    for look in rule.looks:
        wanted = seeds[:look]
        complete = all(seed in failed or (seed in scores and seed in reference) for seed in wanted)
        if len(wanted) == look and complete and len(set(wanted) - failed) > 1:
            yield look, wanted


def _decided(name, look, seeds, family, rule) -> Verdict:
    """The verdict at a look."""
    values, others = points(rule.accuracies[name], rule.accuracies[rule.baseline], seeds)
    if len(values) >= MIN_SEEDS and np.array_equal(values, others):
        return Verdict("equivalent", f"identical in all {len(values)} seeds")
    test = welch(values, others)
    low, high = test.interval(family.level).tolist()
    is_small = max(abs(low), abs(high)) < rule.margin
    counted = sentences.counted(len(values), look, rule.looks[-1] if rule.looks else look)
    rest = _outliers(name, seeds, rule) + _extended(name, look, family, rule)
    if len(values) >= MIN_SEEDS and not test.error:
        return Verdict("cannot tell", sentences.no_variation(values, others, counted))
    if len(values) >= MIN_SEEDS and low > 0:
        against = _against(name, seeds, family, rule) if _is_attention(name, rule) else ""
        return Verdict("helps", sentences.shown("helps", values, others, family, rule.margin, counted) + against + rest)
    if len(values) >= MIN_SEEDS and high < 0:
        return Verdict("hurts", sentences.shown("hurts", values, others, family, rule.margin, counted) + rest)
    if len(values) >= MIN_SEEDS and is_small:
        return Verdict("equivalent", sentences.equivalent(values, others, family, rule.margin, counted) + rest)
    return Verdict("cannot tell", sentences.cannot_tell(values, others, family, rule.margin, counted) + rest)


def _is_attention(name, rule):
    """Whether a variant is attention that the baseline lacks, whose gain a control may explain."""
    is_module = rule.modules and explains(name) is None
    return is_module and attention_of(name) not in ("none", attention_of(rule.baseline))


def _against(name, seeds, family, rule):
    """The end of the sentence on a variant that helps: whether it beats each control, with the same seeds."""
    beaten, doubts = [], []
    alone = Family(1, family.looks, family.alpha)
    for other, scores in rule.accuracies.items():
        if other == rule.baseline or explains(other) is None:
            continue
        values, controls = points(rule.accuracies[name], scores, seeds)
        known = set(scores) | set(rule.failed.get(other, ()))
        if len(values) < MIN_SEEDS or not set(seeds) <= known:
            doubts.append(sentences.incomplete(other, len(values), len(seeds)))
        elif welch(values, controls).interval(alone.level)[0] > 0:
            beaten.append((sentences.sized(other, name, rule.parameters), len(values)))
        else:
            control = sentences.sized(other, name, rule.parameters)
            doubts.append(sentences.not_beaten(control, explains(other), values, controls, alone, rule.margin))
    return sentences.against(beaten, doubts, explains(rule.baseline) is not None)


def _outliers(name, seeds, rule):
    """Names the runs whose accuracy is an outlier."""
    return "".join(
        sentences.outliers(one, {seed: scores[seed] for seed in seeds if seed in scores})
        for one, scores in ((name, rule.accuracies[name]), (rule.baseline, rule.accuracies[rule.baseline]))
    )


def _extended(name, look, family, rule):
    """The sentence on the error rate after an unplanned look; empty if it is not above 5 %."""
    steps = set()  # earlier looks: number of seeds, number of variants, limit of p
    for plan in rule.earlier:
        others = [one for one in plan.variants if one != rule.baseline]
        alike = [one for one in others if (rule.control(one) is None) == (rule.control(name) is None)]
        count = len(alike) if others else family.variants
        planned = plan.planned or plan.looks
        steps |= {(seeds, count, look_alpha(planned, count)) for seeds in plan.looks if count and seeds <= look}
    if not steps:
        return ""
    steps |= {(seeds, family.variants, family.alpha) for seeds in rule.looks if seeds < look}
    real = real_alpha(*zip(*sorted(steps), (look, family.variants, family.alpha), strict=True))
    if round(real, 3) <= ALPHA:
        return ""
    return sentences.extended([(plan.looks[-1], plan.date) for plan in rule.earlier if plan.looks], real)
