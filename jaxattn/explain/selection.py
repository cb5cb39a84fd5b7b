"""Which images to show: some of each class, the worst mistakes, the least confident predictions."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer

from jaxattn.types import Predictions


def balanced(
    labels: Integer[np.ndarray, " N"], count: int, superclasses: Sequence[str] = ()
) -> Integer[np.ndarray, " n"]:
    """Indices of at most `count` images, taking the classes in turn: the first of each class, then the second, ...

    If there are more than `count` classes, that many are taken at equal distances, from as many superclasses as
    possible.

    Args:
        labels: int [N].
        count: how many are wanted.
        superclasses: the name of each class's superclass [K]; empty if there are none.

    Returns:
        int [n], n = min(count, N).
    """
    present = np.unique(labels).tolist()
    if len(present) > count:
        if superclasses:
            present.sort(key=lambda label: superclasses[label])
        chosen = [present[i * len(present) // count] for i in range(count)]
        return np.array([np.argmax(labels == label) for label in chosen], int)
    turn = np.empty(len(labels), int)
    for label in present:
        members = labels == label
        turn[members] = np.arange(members.sum())
    return np.lexsort((labels, turn))[:count]


def worst_mistakes(tested: Predictions, count: int) -> Integer[np.ndarray, " n"]:
    """Indices of the most confident wrong predictions, worst first: int [n], n at most `count`."""
    confidence = tested.probabilities.max(axis=1)
    wrong = np.flatnonzero(tested.predicted != tested.truth)
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:count]


def least_confident(tested: Predictions, count: int) -> Integer[np.ndarray, " n"]:
    """Indices of the predictions of lowest probability, lowest first: int [n], n at most `count`."""
    return np.argsort(tested.probabilities.max(axis=1), kind="stable")[:count]
