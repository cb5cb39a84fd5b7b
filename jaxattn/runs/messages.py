"""The lines that a run prints."""

from collections.abc import Iterable
from typing import Any

import jax

from jaxattn.attention.cost import parameters
from jaxattn.config import Config
from jaxattn.runs.environment import device
from jaxattn.runs.result import balanced_if_unequal


def headline(config: Config, sizes: Iterable[int], params: Any) -> str:
    """What is trained, on what, in two to four lines. `sizes` are those of the training, monitored and test split."""
    train, monitored, test = sizes
    name = "monitored (the TEST set, as the tutorial does)" if config.monitored == "test" else "validation"
    lines = [
        f"{config.recipe} recipe, {config.subject}, {parameters(params):,} parameters, on {device()}",
        f"{config.dataset}: {train:,} training images, {monitored:,} {name}, {test:,} test",
    ]
    if config.warmup_epochs >= config.epochs:
        lines.append(f"the warm-up takes {config.warmup_epochs:g} epochs, so that the learning rate only rises")
    if config.precision == "bf16" and jax.default_backend() == "cpu":
        lines.append("bf16 is for GPU and TPU: a CPU is faster in float32, and uses that instead")
    return "\n".join(lines)


def epoch_line(line: dict[str, Any], config: Config) -> str:
    """The metrics of an epoch, in one line."""
    names = {"train": "train"} | ({"val": "TEST" if config.monitored == "test" else "val"} if config.monitored else {})
    losses = (f"{name} loss {line[f'{key}_loss']:.4f} acc {line[f'{key}_accuracy']:.2%}" for key, name in names.items())
    speed = f"lr {line['learning_rate']:.2e}  {line['images_per_second']:,.0f} images/s"
    return "  ".join((f"epoch {line['epoch']:3d}/{config.epochs}", *losses, speed))


def result_line(result: dict[str, Any]) -> str:
    """The test accuracy, and a remark if the test set was monitored."""
    line = (
        f"test accuracy {result['test_accuracy']:.2%}, loss {result['test_loss']:.4f} nats "
        f"({result['dataset']}, epoch {result['tested_epoch']} of {result['epochs']})"
    )
    balanced, superclass = balanced_if_unequal(result), result.get("test_superclass_accuracy")
    if balanced is not None:
        line += f"\nbalanced accuracy, the mean over the classes: {balanced:.2%}"
    if superclass is not None:
        line += f"\naccuracy of the superclass: {superclass:.2%}"
    for name, what in (("flips", "its mirror image"), ("flips_and_shifts", "mirrored and moved copies")):
        if (key := f"test_accuracy_with_{name}") in result:
            line += f"\nwith each test image and {what} averaged: {result[key]:.2%}"
    if result["monitored"] == "test":
        line += "\nthe test set was monitored in this run: its accuracy was not measured on unseen images"
    return line
