"""The data sets by name: each is a function from a data folder to `Splits`."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from jaxattn.data import cifar10, shapes
from jaxattn.data.splits import Splits

DATASETS: dict[str, Callable[[Path], Splits]] = {
    "cifar10": cifar10.load,
    "shapes": shapes.load,
}
#: Classes, image shape and training images of CIFAR-10: what a program is checked with before its data is loaded.
USUAL = 10, (32, 32, 3), 50_000
BEGIN: dict[str, Callable[[Path], None]] = {"cifar10": cifar10.begin}


def begin(dataset: str, data_dir: str) -> None:
    """Begins to load a data set, of those that take long, while JAX is imported; its loader then takes less time."""
    with contextlib.suppress(OSError):  # the loader says what is wrong
        if dataset in BEGIN:
            BEGIN[dataset](Path(os.path.abspath(os.path.expanduser(data_dir))))
