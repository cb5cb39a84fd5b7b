"""The result of a finished run."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxattn.attention.cost import parameters
from jaxattn.data.splits import Split
from jaxattn.metrics import balanced_accuracy, frequencies, reliability, softmax, superclass_accuracy
from jaxattn.runs import checkpoint
from jaxattn.runs.environment import environment
from jaxattn.runs.manifest import Manifest
from jaxattn.runs.run import best_epoch, load_variables
from jaxattn.training.evaluation import averaged_accuracy, evaluate, fill_of
from jaxattn.training.processes import broadcast
from jaxattn.training.program import Program
from jaxattn.training.state import TrainState


def final_result(
    folder: Path, manifest: Manifest, program: Program, state: TrainState, metrics: list[dict[str, Any]], test: Split,
    trained: list[int],
) -> dict[str, Any]:  # fmt: skip
    """Tests the weights that the configuration selects; returns the contents of `result.json`.

    Args:
        folder, manifest, program: of the run.
        state: the state after the last epoch.
        metrics: one dict per epoch.
        test: the test set.
        trained: number of training images of each class [K].

    Raises:
        InputError: if the tested epoch's checkpoint is damaged.
    """
    config = manifest.config
    complete = broadcast(lambda: checkpoint.epochs(folder / "checkpoints"))
    tested = best_epoch(metrics, complete) if config.keep == "best" else len(metrics)
    variables = state.variables
    if tested != len(metrics):
        variables = broadcast(lambda: load_variables(folder, tested, program, manifest))
    loss, accuracy, logits = evaluate(program.evaluate, variables, test, fill_of(program.model))
    result = {
        "test_loss": loss,
        "test_accuracy": accuracy,
        "test_calibration_error": reliability(softmax(logits), test.labels).error,
        **_by_class(logits, test, manifest.data.superclasses),
        "test_images": len(test),
        "best_epoch": best_epoch(metrics),
        "tested_epoch": tested,
        "epochs": len(metrics),
        "seconds": round(sum(line.get("seconds", 0) for line in metrics), 3),
        "parameters": parameters(state.params),
        "monitored": config.monitored,
        **{name: getattr(config, name) for name in ("dataset", "network", "attention", "recipe", "seed")},
        "dataset_hash": manifest.dataset_hash,
        "notes": manifest.notes(),
        **environment(),
        "train_images_by_class": trained,
        "test_images_by_class": frequencies(test.labels, len(manifest.data.classes)).tolist(),
    }
    return result | _averaged(program, variables, test, logits, config.test_augmentation)


def _averaged(program: Program, variables: Any, test: Split, logits: np.ndarray, copies: str) -> dict[str, float]:
    """The accuracy with test-time augmentation, if the configuration has it."""
    if copies == "none":
        return {}
    name = f"test_accuracy_with_{copies.replace('-', '_')}"
    return {name: averaged_accuracy(program.evaluate, variables, test, logits, copies, fill_of(program.model))}


def _by_class(logits: np.ndarray, test: Split, superclasses: tuple[str, ...]) -> dict[str, float]:
    """The balanced accuracy, and that of the superclasses if there are any."""
    predicted = logits.argmax(axis=1)
    metrics = {"test_balanced_accuracy": balanced_accuracy(predicted, test.labels)}
    if superclasses:
        metrics["test_superclass_accuracy"] = superclass_accuracy(predicted, test.labels, superclasses)
    return metrics
