"""Plain tuples of NumPy arrays that pass between a run, its explanations, its plots and its report."""

import enum
from typing import NamedTuple

import numpy as np


class Layer(NamedTuple):
    """A layer of the network, or a gate at one of its sites. Sorts from first to last.

    Attributes:
        number: of the layer, from 1; for a gate, of the layer that has its site's name.
        name: such as "conv1"; for a gate, its site and its path within the attention there: "block1/channel".
        block: the part of the network that it is in; maps of a block are shown together.
    """

    number: int
    name: str
    block: str

    def __str__(self) -> str:
        return self.name


class MapKind(enum.StrEnum):
    """The kinds of maps over an image; the value is what is printed."""

    CHANCE = "chance"
    GRAD_CAM = "Grad-CAM"
    HIRES_CAM = "HiResCAM"
    LAYER_CAM = "LayerCAM"
    STRONGEST = "strongest channel"
    SECOND = "second channel"
    THIRD = "third channel"
    GATE = "gate"
    ATTENTION_RECEIVED = "attention received"

    @property
    def is_weight(self) -> bool:
        """Whether values have their own scale (a gate's weights), so that they are not stretched to 0-1."""
        return self in (MapKind.GATE, MapKind.ATTENTION_RECEIVED)


class Predictions(NamedTuple):
    """Images and the network's predictions for them.

    Attributes:
        images: uint8 [N, H, W, 3], RGB.
        probabilities: float32 [N, K], each row summing to one.
        classes: names of the classes [K].
        labels: int [N], the true classes; None if they are not known.
        masks: bool [N, H, W], True on the object; None if that is unknown.
        superclasses: the name of each class's superclass [K]; empty if there are none.
    """

    images: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]
    labels: np.ndarray | None = None
    masks: np.ndarray | None = None
    superclasses: tuple[str, ...] = ()

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each image, int [N]."""
        return self.probabilities.argmax(axis=1)

    @property
    def truth(self) -> np.ndarray:
        """The true classes, int [N].

        Raises:
            ValueError: if they are not known.
        """
        if self.labels is None:
            raise ValueError("labels must be known here, they are None")
        return self.labels


class Scores(NamedTuple):
    """How faithful each of N maps is as an explanation; `jaxattn.explain.faithfulness` computes it.

    Attributes:
        mass_on_object: [N], fraction of the map's attribution mass on the object; None without masks.
        pointing: [N], whether its maximum lies on the object; None without masks.
        deletion: [N, S + 1], probability of the explained class with 0/S ... S/S of the pixels removed, the highest
            of the map first. It should fall early.
        insertion: [N, S + 1], the same with pixels inserted into a blurred image. It should rise early.
        similarity: [N], rank correlation with the map of a network of randomised weights; NaN for a constant map. It
            should be near 0.
    """

    mass_on_object: np.ndarray | None
    pointing: np.ndarray | None
    deletion: np.ndarray
    insertion: np.ndarray
    similarity: np.ndarray


class ScoredMaps(NamedTuple):
    """Maps of one kind at one layer, for N images, with their scores.

    Attributes:
        kind: of map.
        layer: the layer or the gate; None for chance.
        values: [N, h, w], at the layer's resolution.
        randomised: [N, h, w], the same map from a network of randomised weights.
        scores: how faithful the maps are.
    """

    kind: MapKind
    layer: Layer | None
    values: np.ndarray
    randomised: np.ndarray
    scores: Scores

    @property
    def title(self) -> str:
        """Kind and layer, such as "Grad-CAM conv3"."""
        return str(self.kind) if self.layer is None else f"{self.kind} {self.layer}"


ORDERS = ("gate", "activation", "random")  # in which channels are removed


class Removal(NamedTuple):
    """Accuracy at one site as channels are removed, the lowest first.

    Attributes:
        accuracy: of each of `ORDERS`, fractions of images, [O, S + 1]: with no channel removed to all removed.
        fractions: of the channels that are removed, [S + 1].
        images: how many were classified.
    """

    accuracy: np.ndarray
    fractions: np.ndarray
    images: int

    def over_random(self, order: str) -> float:
        """The area between the curve of an order and that of a random one, in points of accuracy."""
        between = self.accuracy[ORDERS.index(order)] - self.accuracy[ORDERS.index("random")]
        return float(100 * np.trapezoid(between, self.fractions))
