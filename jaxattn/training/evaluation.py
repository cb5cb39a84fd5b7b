"""Evaluation over a whole split, in batches that do not depend on the machine."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int32, UInt8

from jaxattn import runtime
from jaxattn.data.augment import to_input
from jaxattn.data.spec import Spec
from jaxattn.data.splits import Split
from jaxattn.networks.network import Network
from jaxattn.training import devices
from jaxattn.training.feed import to_device

BATCH = 248
FILL = 8  # the fewest filler rows in a batch


def fill_of(model: Network) -> int:
    """The fewest filler rows in a batch for a network: more than it has sites for attention."""
    return max(FILL, len(model.sites()) + 1)


def batches(
    count: int, multiple: int = 1, most: int | None = None, fill: int = FILL
) -> Iterator[tuple[Int32[np.ndarray, " B"], Bool[np.ndarray, " B"]]]:
    """Indices of `count` examples in batches of at most `most`, and which of them are valid.

    The examples are in a fixed random order: where a data set is sorted by class, the image before another one in a
    batch would be of its class. `joined` restores the order.

    All batches are filled up to one size with copies of their last examples, in order. At each site, the control
    `shuffled` gives each image the gate of the image before it, and the first image that of the last row. There are
    more filler rows than sites, so the first image gets the same gate with any number of them, and results are equal on
    any number of devices.

    Args:
        count: number of examples N.
        multiple: the size is a multiple of this.
        most: examples in a batch, by default `BATCH`.
        fill: the fewest filler rows (`fill_of`).

    Returns:
        Pairs of int32 [B] and bool [B].
    """
    most, order = min(most or BATCH, count), np.random.default_rng(0).permutation(count)
    size = math.ceil((most + fill) / multiple) * multiple
    for start in range(0, count, most):
        valid = np.arange(size) < min(most, count - start)
        examples = valid.sum()
        rows = np.where(valid, np.arange(size), (np.arange(size) - size) % examples)
        yield order[start + rows].astype(np.int32), valid


def joined(parts: Sequence[Any], rows: Sequence[Int32[np.ndarray, " _"]]) -> Any:
    """The results of batches, one for each of N valid examples, in the order of the examples: arrays [N, ...].

    Args:
        parts: for each batch, a tree of arrays of results [B, ...].
        rows: for each batch, the indices of its valid examples [B].
    """
    order = np.argsort(np.concatenate(rows))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *parts)


def evaluate(
    step: Callable, variables: dict[str, Any], split: Split, fill: int = FILL
) -> tuple[float, float, Float[np.ndarray, "N K"]]:
    """Mean loss (nats), accuracy (fraction) and logits [N, K] of a split, over every image once.

    Args:
        step: from `step.make_eval_step`, compiled.
        variables: of the model.
        split: N examples.
        fill: as in `batches`.
    """
    variables = devices.replicate(variables)
    data = to_device(split)
    outputs = []  # all are dispatched before the first is waited for
    for rows, valid in batches(len(split), devices.count(), fill=fill):
        for inputs in data.calls(rows[None], 1):
            tally, logits = devices.synchronise(step(variables, *inputs[:3], devices.shard(valid)))
            outputs.append((tally, logits, rows, valid))
    loss, correct, count = np.sum([np.asarray(tally, np.float64) for tally, *_ in outputs], axis=0)
    parts = [np.asarray(logits)[valid] for _, logits, _, valid in outputs]
    return float(loss / count), float(correct / count), joined(parts, [rows[valid] for *_, rows, valid in outputs])


def logits(
    model: Network, spec: Spec, variables: dict[str, Any], images: UInt8[np.ndarray, "N H W 3"]
) -> Float[np.ndarray, "N K"]:
    """Logits [N, K] of images uint8 [N, H, W, 3] in evaluation mode; `spec` is that of the data set."""
    forward = _forward(model, spec)
    few_sizes = list(batches(len(images), multiple=32, fill=fill_of(model)))  # each is compiled
    parts = [np.asarray(forward(variables, images[rows]))[valid] for rows, valid in few_sizes]
    return joined(parts, [rows[valid] for rows, valid in few_sizes])


@functools.lru_cache(maxsize=32)
def _forward(model, spec):
    def run(variables, images):
        return model.apply(variables, to_input(images, spec), train=False)

    return runtime.jit(run, runtime.KEEP_BARRIERS)


def averaged_accuracy(
    step: Callable,
    variables: dict[str, Any],
    split: Split,
    logits: Float[np.ndarray, "N K"],
    augmentation: str,
    fill: int = FILL,
) -> float:
    """Accuracy (fraction) with logits averaged over each image and changed copies of it.

    Args:
        step, variables, split: as in `evaluate`.
        logits: of the images, [N, K].
        fill: as in `batches`.
        augmentation: "flips" for the mirror image; "flips-and-shifts" also for the image moved by a pixel down and to
            the right, and up and to the left, with their mirror images; the unmoved images count half.

    Source: arXiv:2404.00498, section 3.6, for flips and shifts.
    """

    def logits_of(images):
        return evaluate(step, variables, Split(np.ascontiguousarray(images), split.labels), fill)[2]

    def with_mirror(images):
        return (logits_of(images) + logits_of(images[:, :, ::-1])) / 2

    mean = (logits + logits_of(split.images[:, :, ::-1])) / 2
    if augmentation == "flips-and-shifts":
        larger = np.pad(split.images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
        mean = mean / 2 + (with_mirror(larger[:, :-2, :-2]) + with_mirror(larger[:, 2:, 2:])) / 4
    return float(np.mean(mean.argmax(axis=1) == split.labels))
