"""The rows of figures by class: the classes or, if there are many, superclasses or those confused most."""

import collections
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from jaxattn.metrics import confusion_matrix
from jaxattn.types import Predictions

MAX_ROWS = 20  # rows of a figure
LONG = 16  # characters of a class name on an axis


class Groups(NamedTuple):
    """Rows of figures by class.

    Attributes:
        names: names of the rows [R].
        short: the same, for axes (`class_names`); a class has the same number there whichever rows are shown.
        row: row of each class, int [K]; R if it has none.
        kind: "class" or "superclass".
        about: which rows they are, such as "20 superclasses".
    """

    names: tuple[str, ...]
    short: tuple[str, ...]
    row: np.ndarray
    kind: str
    about: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Short names of the columns of `confusion`: those of the rows, and "others" if some class has no row."""
        return self.short if self.row.max() < len(self.names) else (*self.short, "others")


def class_names(classes: Sequence[str], longest: int = LONG) -> tuple[str, ...]:
    """Names of classes [K] that can be drawn: short, on one line, distinct, without unprintable characters."""
    shown = []
    for i, name in enumerate(classes):
        text = " ".join("".join(character if character.isprintable() else " " for character in name).split())
        shown.append((text if len(text) <= longest else text[: longest - 1] + "…") or f"class {i}")
    while len(set(shown)) < len(shown):  # a numbered name may be another class's own
        counts = collections.Counter(shown)
        shown = [
            name if counts[name] == 1 else f"{name[: longest - 3 - len(str(i))].rstrip()} ({i})"
            for i, name in enumerate(shown)
        ]
    return tuple(shown)


def grouped(tested: Predictions, most: int = MAX_ROWS) -> Groups:
    """The rows for a test set: classes, or superclasses if more than `most` classes have some.

    Args:
        tested: N images with their labels.
        most: maximum number of rows; if there are more, those most often confused with each other are kept.
    """
    names, row, kind = tested.classes, np.arange(len(tested.classes)), "class"
    if len(names) > most and tested.superclasses:
        kind = "superclass"
        known, row = np.unique(np.array(tested.superclasses, object), return_inverse=True)
        names = tuple(known.tolist())
    plural = f"{len(names):,} {kind}es"
    short = class_names(names)
    if len(names) <= most:
        return Groups(names, short, row, kind, plural)
    shown = _most_confused(row[tested.truth], row[tested.predicted], len(names))[:most]
    place = np.full(len(names), most)
    place[shown] = np.arange(most)
    about = f"the {most} of {plural} that are confused most often with each other"
    return Groups(tuple(names[i] for i in shown), tuple(short[i] for i in shown), place[row], kind, about)


def _most_confused(truth: Integer[np.ndarray, " N"], predicted: Integer[np.ndarray, " N"], rows: int) -> list[int]:
    """All rows, in the order of their most frequent confusion, in either direction; rows without any come last."""
    pairs = np.sort(np.stack([truth, predicted], axis=1)[truth != predicted], axis=1)
    distinct, counts = np.unique(pairs, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return list(dict.fromkeys([*distinct[order].ravel().tolist(), *range(rows)]))


def confusion(tested: Predictions, groups: Groups) -> Integer[np.ndarray, "R C"]:
    """How many images of each row are predicted as each of `groups.columns`: int [R, C]."""
    rows, columns = len(groups.names), len(groups.columns)
    counts = confusion_matrix(groups.row[tested.predicted], groups.row[tested.truth], rows + 1)
    return counts[:rows, :columns]
