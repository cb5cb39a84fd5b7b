"""What the networks of a comparison predict for each test image, with intact gates and with gates knocked out."""

import contextlib
import io
from pathlib import Path

import numpy as np

from jaxattn.array_file import parse_npz
from jaxattn.comparison.results import Finished
from jaxattn.data.splits import Split
from jaxattn.explain.knockout import CONDITIONS, MAX_SITES, at, knockout_predictions, sites_of
from jaxattn.limits import read_bytes
from jaxattn.metrics import are_unequal, balanced_accuracy
from jaxattn.runs import checkpoint
from jaxattn.runs.code import digests
from jaxattn.runs.result import check_accuracy
from jaxattn.runs.run import load_run
from jaxattn.runs.store import write_bytes

VERSION = "3"  # of the cached files in run folders
FILE = "predictions.npz"
Predicted = dict[str, dict[int, dict[str, np.ndarray]]]  # classes [N] by variant, seed and condition


def balanced_accuracies(predicted: Predicted, test: Split) -> dict[str, float]:
    """Mean balanced accuracy (fraction) of each variant with a finished run; empty if classes are of similar size."""
    if not are_unequal(np.bincount(test.labels)):
        return {}
    balanced = {
        name: [balanced_accuracy(classes["intact"], test.labels) for classes in by_seed.values()]
        for name, by_seed in predicted.items()
    }
    return {name: float(np.mean(values)) for name, values in balanced.items() if values}


def predictions(run: Finished, test: Split) -> dict[str, np.ndarray]:
    """The predicted classes int [N] of the test images, with the network's gates intact and knocked out.

    They are cached in the run folder if it can be written, and replaced if the run is trained for more epochs.

    Args:
        run: a finished run.
        test: its test images.

    Raises:
        InputError: if the weights cannot be read, or do not reach the test accuracy in `result.json`.
    """
    source, path = basis(run), run.folder / FILE
    stored = _read_predictions(path, source, len(test), len(run.manifest.data.classes))
    predicted = stored or _predicted(run, test, path, source)
    correct = int((predicted["intact"] == test.labels).sum())
    check_accuracy(run.folder, run.config, run.result, correct, len(test))
    return predicted


def basis(run: Finished) -> str:
    """What cached values of a run depend on: their format, the images, the weights and the code."""
    weights = checkpoint.digest(run.folder / "checkpoints", run.result["tested_epoch"])
    return " ".join([VERSION, run.result["dataset_hash"], weights, *digests(run.config).values()])


def _predicted(run: Finished, test: Split, path: Path, source: str) -> dict[str, np.ndarray]:
    loaded = load_run(run.folder, trust_code=True, accept_changed_code=True)  # `results.notes` has checked the code
    predicted = knockout_predictions(loaded.model, loaded.spec, loaded.variables, test.images, by_site=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, of=np.array(source), **predicted)  # type: ignore[arg-type]  # NumPy's stubs
    with contextlib.suppress(OSError):  # somebody else's folder, or another process at the same time
        write_bytes(path, buffer.getvalue())
    return predicted


def _read_predictions(path: Path, source: str, images: int, classes: int) -> dict[str, np.ndarray] | None:
    """The predictions in a file; None if it is missing, damaged, or of other weights or images."""
    limit = (1 << 16) + 8 * len(CONDITIONS) * (1 + MAX_SITES) * images
    try:
        arrays = parse_npz(read_bytes(path, 2 * limit), limit)
        is_current = str(arrays.pop("of")) == source
    except Exception:  # NumPy and zipfile raise many types
        return None
    whole = [name for name in arrays if " at " not in name]
    by_site = [at(condition, site) for site in sites_of(arrays) for condition in CONDITIONS[1:]]
    complete = whole in (["intact"], list(CONDITIONS)) and list(arrays) == [*whole, *by_site]  # no gate: "intact"
    possible = (
        array.shape == (images,) and array.dtype.kind in "iu" and array.min() >= 0 and array.max() < classes
        for array in arrays.values()
    )
    return arrays if is_current and complete and all(possible) else None
