"""Made-up accuracies of variants, whose intervals are known by hand."""

import numpy as np

from jaxattn.comparison.verdict import judge

# Two variants of 8 seeds with the variance 8 / 7 s² each: Welch has 14 degrees of freedom, and the 95 %
# interval is mean ± 2.14479 √(2 / 7) s = mean ± 1.14644 s.
PATTERN = np.array([1, -1, 1, -1, 1, -1, 1, -1])


def trained(spread=0.2, seeds=8, **effects):
    """Accuracies of a baseline at 80 %, and of variants that lie so many points above it, all with the same spread."""
    names = {"none": 0.0, **{name.replace("_", ":"): effect for name, effect in effects.items()}}
    return {
        name: {seed: 0.8 + (effect + spread * PATTERN[(seed + i) % 8]) / 100 for seed in range(seeds)}
        for i, (name, effect) in zip((0, *[1] * 9), names.items(), strict=False)
    }


def verdict(effect, spread=0.2, seeds=8, looks=(8,), **options):
    return judge(trained(spread, seeds, se=effect), "none", looks, **options).rows[1].verdict
