"""The training state and sums over images."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jax import Array
from jaxtyping import Bool, Float, Int32

from jaxattn.errors import InputError


class TrainState(struct.PyTreeNode):
    """All that training changes.

    Attributes:
        step: int32 scalar, steps taken.
        params: the network's parameters.
        collections: every other collection of the network, such as "batch_stats", by name.
        opt_state: the optimiser's state.
        plateau: the state of reduce-on-plateau; its `scale` multiplies the learning rate.
        average: the moving average of params and collections, which is what is evaluated; empty if there is none.
    """

    step: Any  # not annotated by shape: JAX also builds this tree from shapes and placeholders
    params: optax.Params
    collections: dict[str, Any]
    opt_state: optax.OptState
    plateau: optax.OptState
    average: Any  # as `collections`, and "params"

    @property
    def variables(self) -> dict[str, Any]:
        """The variables to evaluate, for `model.apply`: the average, if there is one."""
        return self.average or {"params": self.params, **self.collections}


class Tally(NamedTuple):
    """Sums over images: loss in nats, correct predictions, images. Means are taken once, at the end.

    Attributes:
        loss: float32 scalar, sum of cross-entropies.
        correct: int32 scalar.
        count: int32 scalar.
    """

    loss: Float[Array, "*S"]
    correct: Int32[Array, "*S"]
    count: Int32[Array, "*S"]  # type: ignore[assignment]  # hides tuple.count


def init_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    plateau: optax.GradientTransformationExtraArgs,
    key: Array,
    shape: tuple[int, int, int],
    averaged: bool = False,
) -> TrainState:
    """A fresh state for images [B, H, W, C] of `shape` (H, W, C), from a scalar key, with an average if one is kept.

    A parameter's key comes from its name, so parameters with the same name start equal with any attention.
    """
    variables = model.init(key, jnp.zeros((1, *shape)))
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        collections={name: values for name, values in variables.items() if name != "params"},
        opt_state=optimizer.init(params),
        plateau=plateau.init(params),
        average=jax.tree.map(jnp.copy, dict(variables)) if averaged else {},
    )


def update_average(state: TrainState, decay: float) -> TrainState:
    """The state with its average, if any, moved towards its variables: d average + (1 - d) variables, after a step.

    d = min(decay, t / (t + 9)) after t steps, so that a young average forgets the initial weights. Variables that are
    not floating-point numbers, such as counters, are copied.

    Source: Polyak and Juditsky, SIAM J. Control Optim. 30 (1992) 838; the limit on d as in TensorFlow's
    `ExponentialMovingAverage(num_updates)`.
    """
    if not state.average:
        return state
    steps = state.step.astype(jnp.float32)
    weight = jnp.minimum(decay, steps / (steps + 9))

    def moved(average, value):
        return weight * average + (1 - weight) * value if jnp.issubdtype(value.dtype, jnp.floating) else value

    variables = {"params": state.params, **state.collections}
    return state.replace(average=jax.tree.map(moved, state.average, variables))


def updated_collections(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The collections after a step.

    Raises:
        InputError: if one of them has changed its shape or type, or is new.
    """

    def shapes(tree):
        return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree)

    for name, values in new.items():
        if name not in old or shapes(values) != shapes(old[name]):
            raise InputError(
                f"the collection {name!r} of a module must keep its shapes and types from init on, a training step "
                "changes them; `self.sow` into 'intermediates' keeps nothing and is allowed"
            )
    return {**old, **new}


def smoothed_loss(logits: Float[Array, "B K"], labels: Int32[Array, " B"], smoothing: float) -> Float[Array, ""]:
    """Mean cross-entropy (nats) of logits [B, K], with a fraction of each label [B] spread over all classes: a scalar.

    Source: arXiv:1512.00567, section 7.
    """
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), smoothing)
    return jnp.mean(optax.softmax_cross_entropy(logits, targets))


def tally(logits: Float[Array, "B K"], labels: Int32[Array, " B"], valid: Bool[Array, " B"]) -> Tally:
    """Sums over the valid rows: logits [B, K], labels int [B], valid bool [B]."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    correct = logits.argmax(axis=-1) == labels
    return Tally(
        loss=jnp.sum(jnp.where(valid, losses, 0)),
        correct=jnp.sum(correct & valid, dtype=jnp.int32),
        count=jnp.sum(valid, dtype=jnp.int32),
    )
