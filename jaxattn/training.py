"""Training and evaluation as pure functions of arrays."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import struct

from jaxattn.data.augment import Augment, normalize, to_float


@struct.dataclass
class TrainState:
    """All that training changes.

    Attributes:
        step: int32 scalar, steps taken.
        params: the network's parameters.
        batch_stats: running statistics of its norms.
        opt_state: the optimiser's.
        plateau: the plateau's; its `scale` multiplies the learning rate.
    """

    step: jax.Array
    params: optax.Params
    batch_stats: optax.Params
    opt_state: optax.OptState
    plateau: optax.contrib.ReduceLROnPlateauState

    @property
    def variables(self) -> dict:
        """What `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}


class Tally(NamedTuple):
    """Sums over images: loss in nats, right answers, images. Means are taken once, at the end.

    Attributes:
        loss: float32 scalar, sum of cross-entropies.
        correct: int32 scalar.
        count: int32 scalar.
    """

    loss: jax.Array
    correct: jax.Array
    count: jax.Array


def init_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    plateau: optax.GradientTransformationExtraArgs,
    key: jax.Array,
    shape: tuple[int, int, int],
) -> TrainState:
    """A fresh state for images [B, H, W, C] of `shape` (H, W, C), from a scalar key.

    A parameter's key comes from its name: what has one name under two kinds of attention starts equal.
    """
    variables = model.init(key, jnp.zeros((1, *shape)))
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(params),
        plateau=plateau.init(params),
    )


def tally(logits: jax.Array, labels: jax.Array, valid: jax.Array) -> Tally:
    """Sums over the valid rows: logits [B, K], labels int [B], valid bool [B]."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    correct = logits.argmax(axis=-1) == labels
    return Tally(
        loss=jnp.sum(jnp.where(valid, losses, 0)),
        correct=jnp.sum(correct & valid),
        count=jnp.sum(valid, dtype=jnp.int32),
    )


def make_batch(augment: Augment) -> Callable[..., jax.Array]:
    """The function `(key, images, rows) -> batch` that makes a step's pictures.

    Args of that function:
        key: the step's, for augmentation.
        images: uint8 [N, H, W, 3].
        rows: int [B], the batch's places in them.
    """
    return lambda key, images, rows: normalize(augment(key, to_float(images[rows])))


def make_train_step(
    model: nn.Module, optimizer: optax.GradientTransformation, augment: Augment, train: bool
) -> Callable[..., tuple[TrainState, Tally]]:
    """The function `(state, key, images, labels, rows) -> (state, tally)` that takes one step.

    Args of that function:
        state: `TrainState`.
        key: the run's key; augmentation and dropout of step t draw from `fold_in(key, t)`.
        images, labels: the data set, uint8 [N, H, W, 3] and int32 [N].
        rows: int [B], the batch's places in it.

    Args:
        train: whether dropout drops and norms use the batch's statistics; False trains the network as it evaluates.
    """
    make = make_batch(augment)

    def step(state, key, images, labels, rows):
        key_augment, key_dropout = jax.random.split(jax.random.fold_in(key, state.step))
        batch = make(key_augment, images, rows)
        targets = labels[rows]

        def loss_of(params):
            logits, updated = model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                batch,
                train=train,
                rngs={"dropout": key_dropout},
                mutable=["batch_stats"],
            )
            sums = tally(logits, targets, jnp.ones(targets.shape, bool))
            return sums.loss / sums.count, (sums, updated.get("batch_stats", {}))

        gradients, (sums, batch_stats) = jax.grad(loss_of, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        updates = jax.tree.map(lambda update: update * state.plateau.scale, updates)
        return state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            batch_stats=batch_stats,
            opt_state=opt_state,
        ), sums

    return step


def make_train_steps(step: Callable[..., tuple[TrainState, Tally]]) -> Callable[..., tuple[TrainState, Tally]]:
    """The function that takes S steps of `make_train_step` in one call: rows are [S, B], and the tally's sums [S].

    What it gives is what S calls would, since each step's keys come from the run's and the step's number.
    """

    def steps(state, key, images, labels, rows):
        return jax.lax.scan(lambda state, batch: step(state, key, images, labels, batch), state, rows)

    return steps


def make_eval_step(model: nn.Module) -> Callable[..., tuple[Tally, jax.Array]]:
    """The function `(variables, images, labels, rows) -> (tally, logits [B, K])` over one batch.

    Args of that function:
        variables: of the model.
        images, labels: the data set, uint8 [N, H, W, 3] and int32 [N].
        rows: int [B], the batch's places in it; those past the end count for nothing.
    """

    def step(variables, images, labels, rows):
        valid = rows < len(labels)
        rows = jnp.minimum(rows, len(labels) - 1)
        logits = model.apply(variables, normalize(to_float(images[rows])), train=False)
        return tally(logits, labels[rows], valid), logits

    return step


def end_epoch(
    plateau: optax.GradientTransformationExtraArgs, state: TrainState, loss: jax.typing.ArrayLike
) -> TrainState:
    """The state after the plateau has seen an epoch's loss (nats)."""
    _, told = plateau.update({}, state.plateau, value=jnp.asarray(loss, jnp.float32))
    return state.replace(plateau=told)


def epoch_rows(seed: int, epoch: int, count: int, batch_size: int) -> np.ndarray:
    """A fresh order of `count` examples cut into batches: int32 [count // batch_size, batch_size].

    What does not fill a batch sits this epoch out (PyTorch's loader, as the tutorial uses it, gives a short batch).
    NumPy draws it, since a shuffle on the device takes half a second to compile.
    """
    steps = count // batch_size
    order = np.random.default_rng([seed, epoch]).permutation(count).astype(np.int32)
    return order[: steps * batch_size].reshape(steps, batch_size)
