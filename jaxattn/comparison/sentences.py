"""The sentences of a verdict. Accuracies and differences are in points, seed by seed."""

from collections.abc import Mapping, Sequence

import numpy as np

from jaxattn.comparison import statistics
from jaxattn.comparison.statistics import MIN_SEEDS, welch
from jaxattn.comparison.table import Family, Points, explains

EFFECT = 0.5  # points; "cannot tell" says how many seeds it takes to see this effect
LARGER = 1.05  # times as many parameters; a control has whole channels more
RESOLUTION = 0.05  # points; the smallest spread that is assumed when outliers are looked for


def no_spread(n: int) -> str:
    """No verdict: n, the number of seeds that variant and baseline have in common, is below two."""
    return f"{'one seed: no spread' if n else 'no seed in common with the baseline'}, no verdict"


def provisional(values: Points, others: Points, complete: int, planned: int) -> str:
    """No verdict yet: of a variant and the baseline [n], not all planned seeds are complete."""
    over = "" if len(values) == complete else f" over {len(values)}"
    return f"provisional, {complete} of {planned} seeds: {(values - others).mean():+z.1f} points so far{over}"


def counted(n: int, look: int, planned: int) -> str:
    """The number of seeds that a verdict is based on: all, those that did not fail, or those of an early look."""
    text = f"{n} seeds" if n == look else f"{n} of {look} seeds"
    return text if look == planned else f"{text} (a planned look before {planned})"


def shown(kind: str, values: Points, others: Points, family: Family, margin: float, seeds: str) -> str:
    """Says that a variant [n] "helps" or "hurts", compared with others [n]; `seeds` comes from `counted`."""
    mean, ends = _words(values, others, family, margin)
    small = np.abs(welch(values, others).interval(family.level)).max() < margin
    return f"{kind}: {mean} on these test images ({ends}), {seeds}{f'; less than {margin:g} points' if small else ''}"


def equivalent(values: Points, others: Points, family: Family, margin: float, seeds: str) -> str:
    """Says that a variant [n], compared with others [n], makes no difference as large as the margin."""
    ends = _words(values, others, family, margin)[1]
    return f"no effect larger than {margin:g} points on these test images ({ends}), {seeds}"


def no_variation(values: Points, others: Points, seeds: str) -> str:
    """Says that nothing is shown, since the runs of neither variant [n] differ from each other."""
    mean = (values - others).mean()
    return f"cannot tell: {mean:+z.2f} points, {seeds}; the runs of a variant are all equal, so their spread is unknown"


def cannot_tell(values: Points, others: Points, family: Family, margin: float, seeds: str) -> str:
    """Says that no effect [n] is shown, and how many seeds would show half a point, or what was seen if larger."""
    mean, ends = _words(values, others, family, margin)
    if len(values) < MIN_SEEDS:
        return f"cannot tell: {mean}, {seeds}, too few to show any difference; at least {MIN_SEEDS} are needed"
    sd = float(np.sqrt((values.var(ddof=1) + others.var(ddof=1)) / 2))
    effect = max(EFFECT, round(abs((values - others).mean().item()), 1))
    least, most = statistics.seeds_range(sd, 2 * (len(values) - 1), effect, family.alpha / family.variants)
    if most <= len(values):
        needed = f"they are enough to see {effect:g} points"
    else:
        least = max(least, len(values) + 1)
        number = (
            f"{least} or more" if most == statistics.MAX_SEEDS else f"{least} to {most}" if least < most else f"{most}"
        )
        needed = f"seeing {effect:g} points takes about {number} seeds"
    return f"cannot tell: {mean} ({ends}), {seeds}; at this spread, {needed}"


def _words(values, others, family, margin):
    """The mean and the interval, with enough digits that no end is rounded to 0 or to the margin."""
    low, high = welch(values, others).interval(family.level).tolist()
    limits = (0, margin, -margin)
    digits = next(
        digits
        for digits in (1, 2, 3, 4)
        if digits == 4 or all(end == limit or round(end, digits) != limit for end in (low, high) for limit in limits)
    )
    mean = f"{(values - others).mean():+z.{digits}f} points"
    return mean, f"{family.words} {low:z.{digits}f} to {high:z.{digits}f}"


def incomplete(control: str, common: int, planned: int) -> str:
    """Says that a control has too few seeds to be beaten."""
    return f"it shares only {common} of {planned} seeds with the control {control} so far"


def not_beaten(
    control: str, explains: str | None, values: Points, controls: Points, family: Family, margin: float
) -> str:
    """Says that a variant [n] is not shown to be better than a control [n], which explains its gain by `explains`."""
    mean, ends = _words(values, controls, family, margin)
    return f"it is not shown to beat the control {control} ({mean}, {ends}): {explains} may explain it"


def against(beaten: Sequence[tuple[str, int]], doubts: Sequence[str], is_control: bool) -> str:
    """The end of the sentence on a variant that helps.

    Args:
        beaten: the controls that it beats, and with how many seeds.
        doubts: sentences on those that it does not beat.
        is_control: whether the baseline is a control itself.
    """
    if doubts:
        return f", but {'; '.join(doubts)}"
    if not beaten:
        return "" if is_control else "; no control was run: scaling or capacity may explain it"
    most = max(seeds for _, seeds in beaten)
    names = [one + (f" ({seeds} seeds)" if seeds < most else "") for one, seeds in beaten]
    return f"; it also beats the control{'s' * (len(beaten) > 1)} {', '.join(names)}"


def sized(control: str, name: str, parameters: Mapping[str, int]) -> str:
    """The name of a control of capacity, with a remark if it has fewer parameters than a variant, or many more."""
    if explains(control) != "capacity" or not {control, name} <= parameters.keys():
        return control
    one, other = parameters[control], parameters[name]
    return control if other <= one <= LARGER * other else f"{control} ({one:,} parameters; {name} has {other:,})"


def outliers(name: str, scores: Mapping[int, float]) -> str:
    """Names the seeds of a variant whose accuracies (fractions) are outliers; empty if there are none."""
    seeds, values = list(scores), 100 * np.array(list(scores.values()), float)
    indices = np.flatnonzero(statistics.outliers(values, RESOLUTION))
    return "".join(f"; {name} seed {seeds[i]} ({values[i]:.2f} %) is an outlier" for i in indices)


def extended(plans: Sequence[tuple[int, str]], real: float) -> str:
    """The error rate `real` after an unplanned extension; `plans` are seeds and dates (or "") of earlier plans."""
    seen = ", then ".join(f"{seeds} seeds{f' on {date}' if date else ''}" for seeds, date in plans)
    error = f"if there is no effect, {100 * real:.1f} % of comparisons still claim one, not 5 %"
    return f"; extended without a plan after {seen}: {error}"


def only_here(low: float, high: float) -> str:
    """Says that a claim does not extend to new test images, from the interval for them, in points."""
    return f"; not shown for new test images (95 % {low:.1f} to {high:.1f})"
