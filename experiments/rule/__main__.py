"""How often the rule of `jaxattn compare` errs, and what it sees: its operating table, by simulation.

python -m experiments.rule [--draws 20000]

Accuracies are drawn from a fixed seed; no network is trained. `rule` is the arithmetic of `jaxattn.comparison.verdict`,
for many comparisons at once; `tests/test_verdict.py` compares the two.
"""

import argparse
import math

import numpy as np

from experiments import common
from jaxattn.comparison import MARGIN
from jaxattn.comparison.looks import look_alpha, real_alpha
from jaxattn.comparison.statistics import welch

SD = 0.25  # points, of a run: .13 to .36 in `experiments/verdict-copies`, .13 to .20 in `experiments/verdict`
NOISE = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "t, 3 degrees": lambda random, shape: random.standard_t(3, shape) / math.sqrt(3),
    "exponential": lambda random, shape: random.exponential(size=shape) - 1,
}
SPREADS = {"baseline's sd .36, others' .13": (0.36, 0.13), "baseline's sd .13, others' .36": (0.13, 0.36)}
HARDEST = "exponential, baseline's sd .13, others' .36"
VARIANTS = (1, 5, 9)
EFFECTS = (0.3, 0.5, 1)


def draw(seed, draws, variants, seeds, noise="normal", *, correlation=0.0, spreads=(SD, SD), effect=0.0):  # noqa: PLR0913
    """Accuracies [draws, 1 + variants, seeds] in points, the baseline first; the first variant has the effect.

    The correlation is that of the baseline with each variant, over seeds; variants correlate by its absolute value.
    """
    random = np.random.default_rng(seed)
    shared = NOISE[noise](random, (draws, 1, seeds))
    signs = np.array([math.copysign(1, correlation)] + [1] * variants)[:, None]
    values = signs * math.sqrt(abs(correlation)) * shared
    values = values + math.sqrt(1 - abs(correlation)) * NOISE[noise](random, (draws, 1 + variants, seeds))
    values *= np.array([spreads[0], *[spreads[1]] * variants])[:, None]
    values[:, 1] += effect
    return values


def rule(accuracies, looks=None):
    """Verdicts [draws, variants] at the first conclusive look: 1 "helps", -1 "hurts", 2 "no effect", 0 otherwise."""
    variants = accuracies.shape[1] - 1
    looks = looks or (accuracies.shape[2],)
    level = 1 - look_alpha(looks, variants) / variants
    decided = np.zeros((len(accuracies), variants), int)
    for look in looks:
        ends = welch(accuracies[:, 1:, :look], accuracies[:, :1, :look]).interval(level)
        now = (ends[..., 0] > 0).astype(int) - (ends[..., 1] < 0)
        now = np.where((now == 0) & (np.abs(ends).max(axis=-1) < MARGIN), 2, now)
        decided = np.where(decided == 0, now, decided)
    return decided


def claimed(decided):
    """Whether any variant of a comparison is said to help or to hurt [draws]."""
    return (np.abs(decided) == 1).any(axis=1)


def covered(accuracies):
    """Whether the intervals of all variants contain 0 [draws]."""
    variants = accuracies.shape[1] - 1
    ends = welch(accuracies[:, 1:], accuracies[:, :1]).interval(1 - look_alpha((1,), variants) / variants)
    return ((ends[..., 0] <= 0) & (ends[..., 1] >= 0)).all(axis=1)


def percent(share):
    return f"{100 * float(np.mean(share)):.1f}"


def errors(draws):
    """False claims, and how often all intervals contain the truth, without any effect."""
    header = ["seeds", "variants", *(f"{name}, r = {r:g}" for name in NOISE for r in (0, 0.5)), *SPREADS, HARDEST]
    rows, covers = [], []
    for seeds in (3, 4, 6, 8, 12):
        for variants in VARIANTS:
            tables = [draw(0, draws, variants, seeds, name, correlation=r) for name in NOISE for r in (0, 0.5)]
            tables += [draw(0, draws, variants, seeds, spreads=spreads) for spreads in SPREADS.values()]
            tables.append(draw(0, draws, variants, seeds, "exponential", spreads=(0.13, 0.36)))
            rows.append([str(seeds), str(variants), *(percent(claimed(rule(table))) for table in tables)])
            covers.append([str(seeds), str(variants), *(percent(covered(table)) for table in tables)])
    return [*common.table(header, rows), "", *common.table(header, covers)]


def negative(draws):
    """False claims about one variant whose accuracies correlate negatively with the baseline's."""
    correlations = (0, -0.2, -0.5, -0.8)
    rows = []
    for seeds in (3, 4, 6, 8, 12):
        tables = (draw(0, draws, 1, seeds, correlation=r) for r in correlations)
        rows.append([str(seeds), *(percent(claimed(rule(table))) for table in tables)])
    return common.table(["seeds", *(f"r = {r:g}" for r in correlations)], rows)


def sight(draws):
    """How often an effect is claimed, and how often "no effect" is concluded if there is none."""
    families = [f"{m} variant{'s' * (m > 1)}" for m in VARIANTS]
    header = ["seeds", *(f"{effect:g} points, {one}" for effect in EFFECTS for one in families)]
    header += [f"no effect, {one}" for one in families]
    rows = []
    for seeds in (3, 4, 6, 8, 12, 16, 24):
        shares = [rule(draw(0, draws, m, seeds, effect=effect))[:, 0] == 1 for effect in EFFECTS for m in VARIANTS]
        shares += [rule(draw(0, draws, m, seeds))[:, 0] == 2 for m in VARIANTS]
        rows.append([str(seeds), *map(percent, shares)])
    return common.table(header, rows)


def looks(draws):
    """Several looks, planned and unplanned."""
    header = ["looks", "variants", "limit of p at each", "false claims", "without a plan", "seeds for half a point"]
    rows = []
    for plan in ((6, 9, 12), (8, 12, 16), (6, 12), (4, 6, 8, 10, 12)):
        for variants in (1, 5):
            null, half = draw(0, draws, variants, plan[-1]), draw(1, draws, variants, plan[-1], effect=0.5)
            first = [rule(half[:, :, :look], [one for one in plan if one <= look])[:, 0] != 0 for look in plan]
            naive = np.any([claimed(rule(null[:, :, :look])) for look in plan], axis=0)
            used = sum((plan[i + 1] - plan[i]) * np.mean(~first[i]) for i in range(len(plan) - 1)) + plan[0]
            limit, said = look_alpha(plan, variants), real_alpha(plan, [variants] * len(plan), [0.05] * len(plan))
            rows.append(
                [", ".join(map(str, plan)), str(variants), f"{limit:.4f}", percent(claimed(rule(null, plan))),
                 f"{percent(naive)} (said: {100 * said:.1f})", f"{used:.1f}"]
            )  # fmt: skip
    return common.table(header, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20_000, help="comparisons that are drawn for each number")
    draws = parser.parse_args().draws
    print("\n".join([*errors(draws), "", *negative(draws), "", *sight(draws), "", *looks(draws)]))


if __name__ == "__main__":
    main()
