"""The optimiser and the learning-rate schedule, from plain numbers."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import optax

from jaxattn.errors import InputError, lookup, shortened

# name → (peak, steps after the warm-up) → schedule. "plateau" and "steps" are constant here, and scaled below.
SCHEDULES: dict[str, Callable[[float, int], optax.Schedule]] = {
    "plateau": lambda peak, steps: optax.constant_schedule(peak),
    "cosine": lambda peak, steps: optax.cosine_decay_schedule(peak, max(steps, 1)),
    "linear": lambda peak, steps: optax.linear_schedule(peak, 0.0, max(steps, 1)),
    "steps": lambda peak, steps: optax.constant_schedule(peak),
    "constant": lambda peak, steps: optax.constant_schedule(peak),
}


def learning_rate(
    schedule: str, peak: float, steps: int, warmup: int, milestones: Sequence[float] = (), factor: float = 1.0
) -> optax.Schedule:
    """Learning rate by step, before the plateau's factor.

    Args:
        schedule: a key of `SCHEDULES`.
        peak: highest learning rate.
        steps: length of the whole training, in steps.
        warmup: steps of linear rise to the peak at its start; step 0 already has 1 / warmup of it.
        milestones, factor: of "steps": fractions of the training after which the rate is multiplied by `factor`.

    Raises:
        InputError: if the schedule is unknown.
    """
    after = lookup("schedule", schedule, SCHEDULES)(peak, steps - warmup)
    if warmup >= 1:
        rise = optax.linear_schedule(peak / warmup, peak, warmup - 1)
        after = optax.join_schedules([rise, after], [warmup])
    if schedule != "steps":
        return after
    falls = optax.piecewise_constant_schedule(1.0, {round(at * steps): factor for at in milestones})
    return lambda step: after(step) * falls(step)


def fractions(milestones: str) -> list[float]:
    """The milestones of `learning_rate` from a text such as "0.5,0.75".

    Raises:
        InputError: if they are not rising numbers between 0 and 1.
    """
    try:
        values = [float(part) for part in milestones.split(",")]
    except ValueError:
        values = [0.0]
    if not all(0 < low < high for low, high in itertools.pairwise([*values, 1.0])):
        raise InputError(
            f"milestones must be rising fractions between 0 and 1, separated by commas, got {shortened(milestones)}",
            "milestones",
        )
    return values


Mask = Callable[[Any], Any]  # from a tree of parameters to one of booleans


def adam(
    rate: optax.Schedule, weight_decay: float, decayed: Mask | None = None, momentum: float = 0.0
) -> optax.GradientTransformation:
    """Adam with decoupled decay of the parameters that `decayed` chooses, None for all: AdamW; plain Adam at decay 0.

    Its moments are kept flat, in one vector each: an update is a few XLA computations, not three for each parameter.
    `momentum` is for `sgd`, and ignored here.

    Source: arXiv:1412.6980, algorithm 1; arXiv:1711.05101, algorithm 2 (decay scaled by the learning rate, as PyTorch
    and optax do).
    """
    return optax.chain(
        optax.flatten(optax.scale_by_adam()),
        optax.add_decayed_weights(weight_decay, decayed) if weight_decay else optax.identity(),
        optax.scale_by_learning_rate(rate),
    )


def sgd(
    rate: optax.Schedule, weight_decay: float, decayed: Mask | None = None, momentum: float = 0.9, nesterov: bool = True
) -> optax.GradientTransformation:
    """Stochastic gradient descent with Nesterov's or plain momentum, and coupled decay.

    `decayed` chooses the parameters that decay; None for all. The momentum is kept flat, in one vector, as in `adam`.

    Source: Sutskever et al., ICML 2013 (PMLR 28:1139), in PyTorch's form: the decay is added to the gradient, and the
    learning rate multiplies the update, not the gradient in the momentum.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay, decayed) if weight_decay else optax.identity(),
        optax.flatten(optax.trace(momentum, nesterov=nesterov)),
        optax.scale_by_learning_rate(rate),
    )


OPTIMIZERS: dict[str, Callable[[optax.Schedule, float, Mask, float], optax.GradientTransformation]] = {
    "adam": adam,
    "sgd": sgd,
    "momentum": functools.partial(sgd, nesterov=False),
}


def scaled(factor: float, chosen: Mask) -> optax.GradientTransformation:
    """Multiplies the updates of the parameters that `chosen` chooses.

    Source: arXiv:2404.00498, section 3.4, for the biases of norms.
    """
    return optax.masked(optax.scale(factor), chosen)


def plateau(schedule: str, factor: float, patience: int) -> optax.GradientTransformationExtraArgs:
    """Reduce-on-plateau with PyTorch's patience semantics: its `scale` falls by `factor` at each plateau.

    A plateau is a loss that has not fallen for more than `patience` epochs. `update` must be called once an epoch.
    optax fires in the epoch that exhausts its patience, PyTorch in the one after. So optax gets one more epoch here,
    and the rate falls in the same epoch as `ReduceLROnPlateau`'s (mode "min", relative threshold 1e-4). For schedules
    other than "plateau" it never fires.
    """
    if schedule != "plateau":
        factor, patience = 0.5, 2**30
    return optax.contrib.reduce_on_plateau(factor=factor, patience=patience + 1, rtol=1e-4)
