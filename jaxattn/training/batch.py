"""Batches: which examples, in which order, and how they are augmented."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Int32

from jaxattn.data.augment import Augment, alternating_flips, normalize, to_float
from jaxattn.data.mixing import cutout
from jaxattn.data.spec import Spec


def make_batch(augment: Augment, spec: Spec, steps_per_epoch: int = 0, hidden: int = 0) -> Callable[..., jax.Array]:
    """The function `(key, step, images, rows, numbers=None) -> batch [B, H, W, 3]` that augments and normalises.

    Args of that function:
        key: the step's key for augmentation, a scalar.
        step: int32 scalar, the number of steps before it.
        images: uint8 [N, H, W, 3].
        rows: int32 [B], indices of the batch's images.
        numbers: int32 [B], their numbers in the data set, if `images` are only a part of it.

    Args:
        augment: the augmentation.
        spec: of the data set.
        steps_per_epoch: flips alternate between epochs of this many steps; 0: the augmentation draws flips at random.
        hidden: side in pixels of the square that cutout hides; 0: none.
    """

    def batch(key, step, images, rows, numbers=None):
        numbers = rows if numbers is None else numbers
        flip = alternating_flips(numbers, step // steps_per_epoch) if steps_per_epoch else None
        augmented = normalize(augment(key, to_float(images[rows]), flip), spec)
        return cutout(jax.random.fold_in(key, 1), augmented, hidden) if hidden else augmented

    return batch


def epoch_rows(seed: int, epoch: int, count: int, batch_size: int) -> Int32[np.ndarray, "S B"]:
    """A fresh order of `count` examples cut into batches: int32 [count // batch_size, batch_size].

    The incomplete last batch is dropped (PyTorch's loader, as the tutorial uses it, keeps it).
    NumPy draws the order, since a shuffle on the device takes half a second to compile.
    """
    steps = count // batch_size
    order = np.random.default_rng([seed, epoch]).permutation(count).astype(np.int32)
    return order[: steps * batch_size].reshape(steps, batch_size)
