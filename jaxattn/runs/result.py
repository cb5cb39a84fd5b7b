"""Checks that `result.json` belongs to its run, by the settings in it and by the predictions of the run's weights."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxattn.config import Config
from jaxattn.errors import InputError
from jaxattn.metrics import are_unequal
from jaxattn.runs.code import digests, own_classes
from jaxattn.runs.manifest import Manifest, read_manifest
from jaxattn.runs.store import read_result

# Test predictions that rounding on another machine may change: a fraction (few images), a number, a fraction (many).
FEW, MOST, MANY = 0.02, 5, 0.001
BF16 = 5  # times as many with bfloat16, in which only some machines compute


def read_own_result(folder: Path, manifest: Manifest) -> dict[str, Any] | None:
    """The contents of `result.json`; None if the run has not finished.

    Args:
        folder: the run folder.
        manifest: manifest of the run.

    Raises:
        InputError: if it is damaged, or another run's.
    """
    result = read_result(folder)
    expected = {name: getattr(manifest.config, name) for name in ("network", "attention", "seed", "recipe", "dataset")}
    for name, value in {**expected, "dataset_hash": manifest.dataset_hash}.items():
        if result is not None and result.get(name, value) != value:
            raise _wrong(folder, f"is of another run: its {name} is {result[name]!r:.80}, the run's {value!r:.80}")
    return result


def check_accuracy(folder: Path, config: Config, result: dict[str, Any], correct: int, images: int) -> None:
    """Checks a recorded test accuracy against the predictions of the weights that were tested.

    Nothing is checked if the code of a user's module has changed since: whoever opened the run has accepted that.

    Args:
        folder, config, result: of the run.
        correct: number of test images that the weights classify correctly.
        images: the number of test images.

    Raises:
        InputError: if they differ by more images than rounding explains: 5 (2 % of few images, 0.1 % of many), and
            five times that with bf16; or if the accuracy is not that of a whole number of images.
    """
    allowed = int(max(1, min(MOST, FEW * images), MANY * images)) * (BF16 if config.precision == "bf16" else 1)
    if digests(config) != (read_manifest(folder).code if own_classes(config) else {}):
        return
    exact = result["test_accuracy"] * images
    recorded = round(exact)
    if abs(exact - recorded) > 1e-3 * max(1, images / 1e4):  # float32 has seven digits
        raise _wrong(folder, f"has an accuracy, {result['test_accuracy']}, impossible with {images:,} test images")
    if abs(recorded - correct) > allowed or result.get("test_images", images) != images:
        raise _wrong(
            folder,
            f"says that {recorded:,} of {result.get('test_images', images):,} test images were classified correctly, "
            f"and the run's weights classify {correct:,} of {images:,} (rounding may change {allowed})",
        )


def balanced_if_unequal(result: dict[str, Any]) -> float | None:
    """The balanced accuracy in `result.json` if the test set's classes are unequal; None if not, or if not known."""
    counts = result.get("test_images_by_class")
    return result.get("test_balanced_accuracy") if counts and are_unequal(np.array(counts)) else None


def _wrong(folder: Path, what: str) -> InputError:
    rest = "delete it and resume the run, which writes it again"
    return InputError(f"{folder / 'result.json'} {what}; {rest}", "resume", folder)
