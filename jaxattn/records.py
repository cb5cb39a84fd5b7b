"""Plain tuples of NumPy arrays that pass between a run, its plots and its report."""

from typing import NamedTuple

import numpy as np


class Pictures(NamedTuple):
    """Pictures and what the network says of them.

    Attributes:
        images: uint8 [N, H, W, 3], RGB.
        probabilities: float32 [N, K], each row summing to one.
        classes: names of the classes [K].
        labels: int [N], the true classes; None where nobody knows them.
        masks: bool [N, H, W], True on the object; None where nobody knows.
    """

    images: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]
    labels: np.ndarray | None = None
    masks: np.ndarray | None = None

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each picture, int [N]."""
        return self.probabilities.argmax(axis=1)


class Scores(NamedTuple):
    """What each of N maps is worth as an explanation; `jaxattn.scores` says how each is reckoned.

    Attributes:
        object_share: [N], share of the map's mass on the object; None without masks.
        pointing: [N], whether its peak lies on the object; None without masks.
        deletion: [N, S + 1], probability of the explained class with 0/S ... S/S of the pixels taken away, the
            highest of the map first. It should fall early.
        insertion: [N, S + 1], the same with pixels put into a blurred picture. It should rise early.
        agreement: [N], rank correlation with the map of a network of random weights. It should be near 0.
    """

    object_share: np.ndarray | None
    pointing: np.ndarray | None
    deletion: np.ndarray
    insertion: np.ndarray
    agreement: np.ndarray


class Heatmap(NamedTuple):
    """One kind of map at one layer, for N pictures.

    Attributes:
        kind: "Grad-CAM", "gate", ...
        layer: the layer or the gate it is of.
        values: [N, h, w], as fine as the layer is.
        unlearned: [N, h, w], the same map from a network of random weights.
        scores: what the maps are worth.
    """

    kind: str
    layer: str
    values: np.ndarray
    unlearned: np.ndarray
    scores: Scores
