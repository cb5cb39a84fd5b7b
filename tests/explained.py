"""Explained runs of networks, data and class names of all sorts, with random weights."""

import dataclasses
import functools
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
import tiny
from report_runs import drawn, metrics

from jaxattn.attention import resolve
from jaxattn.config import Config
from jaxattn.data import shapes
from jaxattn.data.splits import Split
from jaxattn.explain import analysis, inference
from jaxattn.explain.analysis import Analysis, History
from jaxattn.explain.explanation import Explanation, Selection
from jaxattn.explain.selection import balanced
from jaxattn.networks import CNN
from jaxattn.runs.run import Run

FOREIGN = (
    "un très long nom de classe, bien plus que la place", "$x_1$ cost $\\nofunction{", "猫", "犬", "a\nb\tc", "",
    "🙂", "same", "same ", "ميناء", "\ud800", "x" * 200,
)  # fmt: skip


def noise(count, height, width, classes):
    random = np.random.default_rng(0)
    labels = (np.arange(count) % classes).astype(np.int32)
    return Split(random.integers(0, 256, (count, height, width, 3)).astype(np.uint8), labels)


def usual():
    splits = shapes.make(train=10, test=20)
    return splits.test, splits.classes, (8,), Config(attention="cbam", dataset="shapes"), metrics(6, [1e-3] * 6)


def foreign():
    """Wide images, one block, classes of any name, self-attention, one epoch, the test set monitored."""
    config = Config(attention="nonlocal", dataset="forêt", recipe="original")
    return noise(13, 8, 20, 12), FOREIGN, (4,), config, metrics(1, [0.1])


def many():
    """A hundred classes of which half occur, a block with four gates, tall images, many plateaus."""
    config = Config(attention="triplet", dataset="many", schedule="plateau")
    rates = [1e-3 / 2 ** (i // 10) for i in range(60)]
    return noise(50, 32, 16, 50), tuple(f"class number {i}" for i in range(100)), (4,), config, metrics(60, rates)


def plain():
    """No gate at all, two classes, one black image, and a network whose output does not depend on it."""
    black = Split(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1, np.int32), np.ones((1, 8, 8), bool))
    return black, ("no", "yes"), (4,), Config(dataset="black"), metrics(2, [1e-3, 0.0])


CASES = {case.__name__: case for case in (usual, foreign, many, plain)}


class Sources(NamedTuple):
    """What plots take their arguments from."""

    explanation: Explanation
    analysis: Analysis
    history: History


@pytest.fixture(scope="module", autouse=True)
def few_scored_and_quickly_randomised():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis, "SCORED", 4)
        patch.setattr(inference, "randomised_variables", lambda model, seed, shape: drawn(model, seed + 1, shape))
        yield


@functools.cache
def run(case):
    """A run with random weights, and its test set."""
    test, classes, widths, config, lines = CASES[case]()
    model = CNN(classes=len(classes), widths=widths, hidden=8, attention=resolve(config.attention, 4))
    variables = drawn(model, 0, test.images.shape[1:])
    if case == "plain":
        variables = jax.tree.map(np.zeros_like, variables)
    spec = dataclasses.replace(tiny.SPEC, classes=classes, image_shape=test.images.shape[1:])
    return Run(Path("run"), config, spec, model, variables, len(lines), lines, None), test


@functools.cache
def sources(case):
    """Two or three images explained, the test set analysed, and the history of the run."""
    made, test = run(case)
    selection = Selection(("conv1", "norm1", "attention1", "block1") if case == "many" else ())
    analysed = Analysis(made, test, selection)
    shown = analysed.some(balanced(test.labels, 3 if case == "usual" else 2))
    return Sources(Explanation(made, shown, selection), analysed, History(made))
