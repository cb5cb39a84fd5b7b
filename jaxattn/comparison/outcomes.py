"""Outcomes other than accuracy, fixed before training: they are shown, and never decide the verdict."""

from collections.abc import Mapping
from typing import Any

from jaxattn.comparison.estimates import Estimate, estimate

# Key of `result.json`: its name with unit, and the factor for its values.
OUTCOMES = {
    "test_loss": ("test loss, nats", 1),
    "test_calibration_error": ("expected calibration error, points", 100),
    "test_balanced_accuracy": ("balanced accuracy, points", 100),
}


def outcomes(
    results: Mapping[str, Mapping[int, Mapping[str, Any]]], baseline: str, is_unequal: bool
) -> dict[str, list[Estimate]]:
    """Each variant's difference from the baseline in each outcome that all runs have, by the outcome's name.

    Args:
        results: contents of `result.json`, by variant and seed.
        baseline: its name.
        is_unequal: whether classes have unequal numbers of test images; otherwise balanced accuracy is accuracy.
    """
    every = [result for by_seed in results.values() for result in by_seed.values()]
    keys = [key for key in OUTCOMES if all(key in result for result in every)]
    keys = [key for key in keys if is_unequal or key != "test_balanced_accuracy"]
    variants = [name for name in results if name != baseline]
    rows_by_outcome = {}
    for key in keys:
        what, factor = OUTCOMES[key]
        values = {name: {seed: one[key] for seed, one in by_seed.items()} for name, by_seed in results.items()}
        family = len(keys) * len(variants)
        rows = [estimate(name, values[name], values[baseline], family, factor) for name in variants]
        rows_by_outcome[what] = [row for row in rows if row is not None]
    return {what: rows for what, rows in rows_by_outcome.items() if rows}
