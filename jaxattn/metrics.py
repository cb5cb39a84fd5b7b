"""Measures of a classifier on a test set: confusion, accuracy by class, calibration, intervals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float, Integer, Num

#: Classes whose numbers of images differ by at most this factor count as equal: by rounding, splits hold 44 and 43.
#: Accuracy and balanced accuracy then differ by at most 2.4 points, (√1.1 - 1) / (√1.1 + 1), whatever is predicted.
UNEQUAL = 1.1


def softmax(logits: Float[np.ndarray, "*N K"]) -> Float[np.ndarray, "*N K"]:
    """Probabilities [..., K] of logits [..., K]."""
    return scipy.special.softmax(logits, axis=-1)


def confusion_matrix(
    predicted: Integer[np.ndarray, " N"], labels: Integer[np.ndarray, " N"], classes: int
) -> Integer[np.ndarray, "K K"]:
    """How many images of each true class (row) are predicted as each class (column): int [K, K] from int [N], [N]."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def wilson_interval(correct: int, count: int) -> tuple[float, float]:
    """95 % Wilson interval of a fraction `correct` / `count`; (0, 1) if count is 0.

    Source: Wilson 1927, as `scipy.stats.binomtest` computes it.
    """
    if count == 0:
        return 0.0, 1.0
    interval = scipy.stats.binomtest(correct, count).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def balanced_accuracy(predicted: Integer[np.ndarray, " N"], labels: Integer[np.ndarray, " N"]) -> float:
    """Mean over the classes that occur of the fraction that is classified correctly, from int [N], [N]."""
    total = np.bincount(labels)
    correct = np.bincount(labels[predicted == labels], minlength=len(total))
    return float(np.mean(correct[total > 0] / total[total > 0]))


def superclass_accuracy(
    predicted: Integer[np.ndarray, " N"], labels: Integer[np.ndarray, " N"], superclasses: Sequence[str]
) -> float:
    """Fraction whose predicted class has the same superclass as the true one, from int [N], [N].

    Args:
        predicted, labels: int [N], classes.
        superclasses: the name of each class's superclass [K].
    """
    names = np.asarray(superclasses)
    return float(np.mean(names[predicted] == names[labels]))


def frequencies(labels: Integer[np.ndarray, " N"], classes: int) -> Integer[np.ndarray, " K"]:
    """How many images each class has: int [K] from int [N]."""
    return np.bincount(labels, minlength=classes)


def are_unequal(counts: Integer[np.ndarray, " K"]) -> bool:
    """Whether the largest class has more than `UNEQUAL` times the images of the smallest that occurs, from int [K]."""
    seen = counts[counts > 0]
    return bool(seen.max(initial=0) > UNEQUAL * seen.min(initial=seen.max(initial=0)))


def per_class_accuracy(
    counts: Integer[np.ndarray, "R C"],
) -> tuple[Float[np.ndarray, " R"], Float[np.ndarray, "R 2"]]:
    """Accuracy of each class with its 95 % Wilson interval, from the first R rows of a confusion matrix int [R, C].

    Returns:
        Fractions [R] and intervals [R, 2]; a class without an image gets 0 and (0, 1).
    """
    total, correct = counts.sum(axis=1), np.diag(counts)
    intervals = [wilson_interval(*pair) for pair in zip(correct.tolist(), total.tolist(), strict=True)]
    return correct / np.maximum(total, 1), np.array(intervals)


class Reliability(NamedTuple):
    """Accuracy by confidence, in M bins of equal width.

    Attributes:
        edges: [M + 1], from 0 to 1.
        count: int [M], predictions in each bin.
        confidence: [M], mean probability of the predicted class; the bin's centre where it is empty.
        accuracy: [M], fraction of predictions that are correct; 0 where the bin is empty.
        error: expected calibration error, the mean gap between the two over all predictions, in [0, 1].
    """

    edges: np.ndarray
    count: np.ndarray  # type: ignore[assignment]  # hides tuple.count
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float


def reliability(probabilities: Float[np.ndarray, "N K"], labels: Num[np.ndarray, " N"], bins: int = 15) -> Reliability:
    """The reliability diagram and the expected calibration error.

    Args:
        probabilities: [N, K].
        labels: int [N].
        bins: M; bin m holds confidences above m / M, up to (m + 1) / M.

    Source: arXiv:1706.04599, equations 2 and 3, with its 15 bins.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    is_correct = probabilities.argmax(axis=1) == labels
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count, total, correct = (np.bincount(bin_of, weights, minlength=bins) for weights in (None, confidence, is_correct))
    filled, divisor = count > 0, np.maximum(count, 1)
    edges = np.linspace(0, 1, bins + 1)
    centre = (edges[1:] + edges[:-1]) / 2
    error = float(np.abs(correct - total).sum() / len(labels))
    return Reliability(edges, count, np.where(filled, total / divisor, centre), correct / divisor, error)
