"""The optimiser and the learning-rate schedule, from plain numbers."""

from collections.abc import Callable

import jax
import optax

from jaxattn.errors import lookup
from jaxattn.training.names import keys_of

# name → (peak, steps after the warm-up) → schedule. "plateau" is constant here: `plateau` below scales it.
SCHEDULES: dict[str, Callable[[float, int], optax.Schedule]] = {
    "plateau": lambda peak, steps: optax.constant_schedule(peak),
    "cosine": lambda peak, steps: optax.cosine_decay_schedule(peak, max(steps, 1)),
    "linear": lambda peak, steps: optax.linear_schedule(peak, 0.0, max(steps, 1)),
    "constant": lambda peak, steps: optax.constant_schedule(peak),
}


def learning_rate(schedule: str, peak: float, steps: int, warmup: int) -> optax.Schedule:
    """Learning rate by step, before the plateau's factor.

    Args:
        schedule: a key of `SCHEDULES`.
        peak: highest learning rate.
        steps: length of the whole training, in steps.
        warmup: steps of linear rise to the peak at its start; step 0 already has 1 / warmup of it.

    Raises:
        InputError: where the schedule is not known.
    """
    after = lookup("schedule", schedule, SCHEDULES)(peak, steps - warmup)
    if warmup < 1:
        return after
    rise = optax.linear_schedule(peak / warmup, peak, warmup - 1)
    return optax.join_schedules([rise, after], [warmup])


def adam(rate: optax.Schedule, weight_decay: float) -> optax.GradientTransformation:
    """Adam with decoupled decay of every parameter called "kernel", and of no other: AdamW; plain Adam at decay 0.

    Its moments are kept flat, in one vector each: an update is a few XLA computations, not three for each parameter.

    Source: arXiv:1412.6980, algorithm 1; arXiv:1711.05101, algorithm 2 (decay scaled by the learning rate, as PyTorch
    and optax do).
    """
    return optax.chain(
        optax.flatten(optax.scale_by_adam()),
        optax.add_decayed_weights(weight_decay, _kernels) if weight_decay else optax.identity(),
        optax.scale_by_learning_rate(rate),
    )


def sgd(rate: optax.Schedule, weight_decay: float) -> optax.GradientTransformation:
    """Stochastic gradient descent with Nesterov momentum .9, and coupled decay of every parameter called "kernel".

    The momentum is kept flat, in one vector, as in `adam`.

    Source: Sutskever et al., ICML 2013 (PMLR 28:1139), in PyTorch's form: the decay is added to the gradient, and the
    learning rate multiplies the update, not the gradient in the momentum.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay, _kernels) if weight_decay else optax.identity(),
        optax.flatten(optax.trace(0.9, nesterov=True)),
        optax.scale_by_learning_rate(rate),
    )


OPTIMIZERS: dict[str, Callable[[optax.Schedule, float], optax.GradientTransformation]] = {"adam": adam, "sgd": sgd}


def scale_norm_biases(factor: float) -> optax.GradientTransformation:
    """Multiplies the updates of the biases of the blocks' norms; norms inside attention modules keep theirs.

    Source: arXiv:2404.00498, section 3.4.
    """

    def biases(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: keys_of(path)[1:] == ["norm", "bias"], params)

    return optax.masked(optax.scale(factor), biases)


def _kernels(params):
    return jax.tree_util.tree_map_with_path(lambda path, _: keys_of(path)[-1] == "kernel", params)


def plateau(schedule: str, factor: float, patience: int) -> optax.GradientTransformationExtraArgs:
    """Reduce-on-plateau with PyTorch's patience semantics: its `scale` falls by `factor` at each plateau.

    A plateau is a loss that has not fallen for more than `patience` epochs. `update` must be called once an epoch.
    optax fires in the epoch that fills its patience, PyTorch in the one after: one more is given here, so that the rate
    falls in the same epoch as `ReduceLROnPlateau`'s (mode "min", relative threshold 1e-4). For schedules other than
    "plateau" it never fires.
    """
    if schedule != "plateau":
        factor, patience = 0.5, 2**30
    return optax.contrib.reduce_on_plateau(factor=factor, patience=patience + 1, rtol=1e-4)
