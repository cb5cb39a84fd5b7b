"""The data sets by name: each is a function from a data folder to `Splits`."""

from collections.abc import Callable
from pathlib import Path

from jaxattn.data import cifar10, shapes
from jaxattn.data.splits import Splits

DATASETS: dict[str, Callable[[Path], Splits]] = {
    "cifar10": cifar10.load,
    "shapes": shapes.load,
}
