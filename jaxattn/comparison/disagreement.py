"""Which test images one variant classifies correctly in nearly all seeds, and another in few."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

MOST, FEW = 0.8, 0.2  # of the seeds
MIN_RUNS = 3  # of each variant; with two, every image on which both runs agree would count
PERMUTATIONS = 200


class Disagreement(NamedTuple):
    """Images that a variant and the baseline classify differently in nearly all seeds.

    Attributes:
        better: images that the variant classifies correctly in 80 % of the seeds or more and the baseline in 20 % or
            fewer, int [n], the largest difference first.
        worse: the other way round, int [m].
        chance: how many such images in one direction result from dividing the same runs into two groups at random:
            mean, and the 2.5th and 97.5th percentile.
        fractions: fractions of the seeds in which variant and baseline classify each image correctly, [2, N].
    """

    better: Int[np.ndarray, " n"]
    worse: Int[np.ndarray, " m"]
    chance: tuple[float, float, float]
    fractions: Float[np.ndarray, "2 N"]


def disagreement(
    variant: Bool[np.ndarray, "S N"], baseline: Bool[np.ndarray, "T N"], seed: int = 0
) -> Disagreement | None:
    """Images on which two variants differ, and how many would differ by chance; None with fewer than 3 seeds.

    Args:
        variant: whether each image is classified correctly, by seed, bool [S, N].
        baseline: the same for the baseline, bool [T, N].
        seed: seed of the permutations.
    """
    if min(len(variant), len(baseline)) < MIN_RUNS:
        return None
    runs, rng = np.concatenate([variant, baseline]).astype(np.float32), np.random.default_rng(seed)
    counts = []
    for _ in range(PERMUTATIONS):
        mixed = rng.permutation(len(runs))
        counts += [one.sum() for one in _apart(*_fractions(runs[mixed], len(variant)))]
    fractions = np.stack(_fractions(runs, len(variant)))
    gap = fractions[0] - fractions[1]
    better, worse = (np.flatnonzero(one) for one in _apart(*fractions))
    return Disagreement(
        better[np.argsort(-gap[better], kind="stable")],
        worse[np.argsort(gap[worse], kind="stable")],
        (float(np.mean(counts)), float(np.quantile(counts, 0.025)), float(np.quantile(counts, 0.975))),
        fractions,
    )


def disagreements(
    predicted: Mapping[str, Mapping[int, Mapping[str, np.ndarray]]], baseline: str, labels: Integer[np.ndarray, " N"]
) -> dict[str, Disagreement]:
    """Each variant's disagreement with the baseline, if both have at least three seeds.

    Args:
        predicted: classes int [N] by variant, seed and condition; only "intact" is used.
        baseline: the variant that others are compared with.
        labels: the true classes.
    """
    correct = {
        name: np.stack([classes["intact"] == labels for classes in by_seed.values()])
        for name, by_seed in predicted.items()
        if by_seed
    }
    if baseline not in correct:
        return {}
    by_variant = {name: disagreement(one, correct[baseline]) for name, one in correct.items() if name != baseline}
    return {name: one for name, one in by_variant.items() if one is not None}


def sentence(name: str, baseline: str, counted: Disagreement) -> str:
    """A disagreement and its chance level, in words."""
    mean, low, high = counted.chance
    return (
        f"{len(counted.better)} images are classified correctly in at least {MOST:.0%} of the seeds with {name} and in "
        f"at most {FEW:.0%} with {baseline}, {len(counted.worse)} the other way round. The same runs divided by chance "
        f"give {mean:.0f} each way (95 %: {low:.0f} to {high:.0f})."
    )


def _fractions(runs, count):
    return runs[:count].mean(axis=0), runs[count:].mean(axis=0)


def _apart(first, second):
    slack = 1e-6  # fractions are float32
    return (
        (first >= MOST - slack) & (second <= FEW + slack),
        (second >= MOST - slack) & (first <= FEW + slack),
    )
