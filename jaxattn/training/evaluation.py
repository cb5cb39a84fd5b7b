"""Evaluation over a whole split, in batches that do not depend on the machine."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int32

from jaxattn.data.splits import Split
from jaxattn.training import devices

BATCH = 256


def batches(count: int, multiple: int = 1) -> Iterator[tuple[Int32[np.ndarray, " B"], Bool[np.ndarray, " B"]]]:
    """Indices of `count` examples in batches of at most `BATCH`, with which of them are valid.

    Each batch is filled up to a common size with copies of its last example. A module that mixes the images of a batch
    (the control `shuffled`) therefore gives the same on any number of devices.

    Args:
        count: number of examples N.
        multiple: the size is a multiple of this.

    Returns:
        Pairs of int32 [B] and bool [B].
    """
    size = math.ceil(min(BATCH, count) / multiple) * multiple
    for start in range(0, count, BATCH):
        rows = np.arange(start, start + size, dtype=np.int32)
        last = min(start + BATCH, count) - 1
        yield np.minimum(rows, last), rows <= last


def evaluate(step: Callable, variables: dict[str, Any], split: Split) -> tuple[float, float, Float[np.ndarray, "N K"]]:
    """Mean loss (nats), accuracy (fraction) and logits [N, K] of a split, over every image once.

    Args:
        step: of `step.make_eval_step`, compiled.
        variables: of the model.
        split: N examples.
    """
    variables, images, labels = devices.replicate((variables, split.images, split.labels))
    found = [
        (devices.synchronise(step(variables, images, labels, devices.shard(rows), devices.shard(valid))), valid)
        for rows, valid in batches(len(split), jax.device_count())
    ]
    loss, correct, count = np.sum([np.asarray(tally, np.float64) for (tally, _), _ in found], axis=0)
    logits = np.concatenate([np.asarray(logits)[valid] for (_, logits), valid in found])
    return float(loss / count), float(correct / count), logits
