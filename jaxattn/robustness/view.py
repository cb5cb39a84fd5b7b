"""A view: images that trained networks are tested on, and the metrics of their predictions."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float, Integer, Num, UInt8

ACCURACY, CROSS_ENTROPY = "accuracy", "cross-entropy"
TEST = "test images"
Load = Callable[[], tuple[UInt8[np.ndarray, "N H W 3"], Integer[np.ndarray, " N"]]]


class View(NamedTuple):
    """Images to test on.

    Attributes:
        name: such as "noise" or "CIFAR-10.1 v6".
        severity: 1 to 5; 0 if there are no severities.
        images: their number N.
        digest: of everything that the images and labels depend on, except the run's own test set.
        load: returns the images uint8 [N, H, W, 3] and the labels int [N].
        people: how often people gave each label [N, K]; None if that is not needed.
    """

    name: str
    severity: int
    images: int
    digest: str
    load: Load
    people: np.ndarray | None = None

    def measure(self, logits: Float[np.ndarray, "N K"], labels: Integer[np.ndarray, " N"]) -> dict[str, float]:
        """The accuracy (fraction), and the cross-entropy (nats) if there are people's labels.

        Args:
            logits: logits of the images [N, K].
            labels: from `load`, int [N].
        """
        metrics = {ACCURACY: float(np.mean(logits.argmax(axis=1) == labels))}
        return metrics if self.people is None else metrics | {CROSS_ENTROPY: cross_entropy(logits, self.people)}


def cross_entropy(logits: Float[np.ndarray, "N K"], counts: Num[np.ndarray, "N K"]) -> float:
    """The mean over N images of -Σ_k p_k log q_k, in nats.

    Args:
        logits: [N, K]; q is their softmax.
        counts: [N, K]; p is each row divided by its sum, which is above 0.

    Source: arXiv:1908.07086, section 4 (people's labels as a distribution).
    """
    people = counts / counts.sum(axis=1, keepdims=True)
    return float(-(people * scipy.special.log_softmax(logits.astype(np.float64), axis=1)).sum(axis=1).mean())


def digest(*parts: object) -> str:
    """SHA-256 (hex) of texts, numbers and arrays [...]: equal digests mean equal parts."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            sha.update(f"\0{part.dtype.str} {part.shape}\0".encode())
            sha.update(np.ascontiguousarray(part).data)
        else:
            sha.update(f"\0{part}\0".encode(errors="surrogateescape"))
    return sha.hexdigest()[:32]
