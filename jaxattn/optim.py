"""The optimiser and the learning rate, from numbers."""

import math

import jax
import jax.numpy as jnp
import optax

from jaxattn.errors import lookup

SCHEDULES = {
    "plateau": "the peak, times a factor at each plateau",
    "cosine": "from the peak to 0 along half a cosine",
    "constant": "the peak throughout",
}


def learning_rate(schedule: str, peak: float, steps: int, warmup: int) -> optax.Schedule:
    """Learning rate by step, before the plateau's factor.

    Args:
        schedule: a key of `SCHEDULES`.
        peak: highest learning rate.
        steps: length of the whole training, in steps.
        warmup: steps of linear rise to the peak at its start; step 0 already takes 1 / warmup of it.

    Raises:
        InputError: where the schedule is not known.
    """
    lookup("schedule", schedule, SCHEDULES)

    def rate(step: jax.Array) -> jax.Array:
        rise = jnp.minimum(1.0, (step + 1) / max(warmup, 1))
        if schedule != "cosine":
            return peak * rise
        part = jnp.clip((step - warmup) / max(steps - warmup, 1), 0, 1)
        return peak * rise * 0.5 * (1 + jnp.cos(math.pi * part))

    return rate


def adam(rate: optax.Schedule, weight_decay: float) -> optax.GradientTransformation:
    """Adam with decoupled decay of every parameter called "kernel", and of no other: AdamW; plain Adam at decay 0.

    Its moments are kept flat, in one vector each: an update is a few kernels to compile, not three for each parameter.

    Source: arXiv:1412.6980, algorithm 1; arXiv:1711.05101, algorithm 2 (decay scaled by the learning rate, as PyTorch
    and optax do).
    """
    return optax.chain(
        optax.flatten(optax.scale_by_adam()),
        optax.add_decayed_weights(weight_decay, _kernels) if weight_decay else optax.identity(),
        optax.scale_by_learning_rate(rate),
    )


def _kernels(params):
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def plateau(schedule: str, factor: float, patience: int) -> optax.GradientTransformationExtraArgs:
    """What multiplies the learning rate by `factor` when a loss has not fallen for more than `patience` epochs.

    Its `update` is to be called once an epoch. optax fires at the epoch that fills its patience, PyTorch at the one
    after: one more is given here, so that the rate falls in the same epoch as `ReduceLROnPlateau`'s (mode "min",
    relative threshold 1e-4). Other schedules than "plateau" get one that never fires.
    """
    if schedule != "plateau":
        factor, patience = 0.5, 2**30
    return optax.contrib.reduce_on_plateau(factor=factor, patience=patience + 1, rtol=1e-4)
