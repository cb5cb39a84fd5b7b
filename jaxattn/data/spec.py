"""The facts of a data set, known before it is read: all that the rest of the package may ask about one."""

import dataclasses
import math
from typing import Any, final

from jaxattn.errors import InputError

MAX_CLASSES = 10_000
MAX_SIDE = 4096  # pixels


@final
@dataclasses.dataclass(frozen=True)
class Spec:
    """A data set's facts.

    Attributes:
        name: of the data set.
        classes: names of the classes [K].
        image_shape: (H, W, 3), in pixels.
        train, test: number of images of each split; None if that was not recorded.
        mean, std: what is subtracted from each channel, and what it is then divided by, in units of 0..1.
        source: its origin, its licence, and what was done to it, in one line.
        superclasses: for each class the name of the coarser class it belongs to [K]; empty if there are none.
        notes: what readers of results must know about these images, one sentence each.

    Raises:
        InputError: if a value is not possible for a data set.
    """

    name: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    train: int | None
    test: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    source: str = ""
    superclasses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        kinds = {"classes": str, "image_shape": int, "mean": float, "std": float, "superclasses": str, "notes": str}
        for name, kind in kinds.items():  # a list or an array becomes a tuple, which can be hashed
            object.__setattr__(self, name, tuple(map(kind, getattr(self, name))))
        if not 2 <= len(self.classes) <= MAX_CLASSES or len(set(self.classes)) < len(self.classes):
            raise InputError(
                f"{self.name}: classes must be 2 to {MAX_CLASSES:,} different names, got {len(self.classes):,} with "
                f"{len(set(self.classes)):,} different ones"
            )
        if (
            len(self.image_shape) != 3
            or self.image_shape[2] != 3
            or not all(0 < n <= MAX_SIDE for n in self.image_shape)
        ):
            raise InputError(
                f"{self.name}: image_shape must be (H, W, 3) with sides of 1 to {MAX_SIDE:,} pixels, got "
                f"{self.image_shape}"
            )
        numbers = (*self.mean, *self.std)
        if not (len(self.mean) == len(self.std) == 3 and all(map(math.isfinite, numbers)) and min(self.std) > 0):
            raise InputError(
                f"{self.name}: mean and std must be finite and of 3 channels, std above 0, got {self.mean}, {self.std}"
            )
        if any(count is not None and count < 1 for count in (self.train, self.test)):
            raise InputError(f"{self.name}: train and test must be 1 or more, got {self.train} and {self.test}")
        if self.superclasses and len(self.superclasses) != len(self.classes):
            raise InputError(
                f"{self.name}: superclasses must be one for each of the {len(self.classes)} classes, "
                f"got {len(self.superclasses)}"
            )

    def to_json(self) -> dict[str, Any]:
        """The facts as a dict that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Spec":
        """The inverse of `to_json`.

        Raises:
            TypeError: if the values have other types.
            InputError: if they are not possible for a data set.
        """
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in dict(values).items()}
        for names, kinds in _KINDS.items():
            for name in names:
                parts = values.get(name, ())
                for part in parts if isinstance(parts, tuple) else (parts,):
                    if type(part) not in kinds:
                        raise TypeError(f"{name} of a data set must be of {kinds}, found {part!r:.80}")
        if len({len(values[name]) for name in ("image_shape", "mean", "std")}) > 1:
            raise TypeError(f"image_shape, mean and std must have 3 numbers, found {values['mean']}, {values['std']}")
        return cls(**values)


# The types of each value, or of its items.
_KINDS: dict[tuple[str, ...], tuple[type, ...]] = {
    ("name", "source", "classes", "superclasses", "notes"): (str,),
    ("image_shape",): (int,),
    ("train", "test"): (int, type(None)),
    ("mean", "std"): (int, float),
}
