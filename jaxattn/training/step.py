"""Training and evaluation steps as pure functions of arrays."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Int32

from jaxattn.data.augment import Augment, normalize, to_float
from jaxattn.training.state import Tally, TrainState, tally, updated_collections


def make_batch(augment: Augment) -> Callable[..., jax.Array]:
    """The function `(key, images, rows) -> batch [B, H, W, 3]` that augments and normalises.

    Args of that function:
        key: the step's, for augmentation.
        images: uint8 [N, H, W, 3].
        rows: int32 [B], indices of the batch's images.
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
        rows: int32 [B], indices of the batch's examples.

    Args:
        train: whether dropout drops and norms use the batch's statistics; False trains in evaluation mode.
    """
    batch_of = make_batch(augment)

    def step(state, key, images, labels, rows):
        key_augment, key_dropout = jax.random.split(jax.random.fold_in(key, state.step))
        batch = batch_of(key_augment, images, rows)
        targets = labels[rows]

        def loss_of(params):
            logits, updated = model.apply(
                {"params": params, **state.collections},
                batch,
                train=train,
                rngs={"dropout": key_dropout},
                mutable=list(state.collections),
            )
            sums = tally(logits, targets, jnp.ones(targets.shape, bool))
            return sums.loss / sums.count, (sums, updated)

        gradients, (sums, updated) = jax.grad(loss_of, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        updates = jax.tree.map(lambda update: update * state.plateau.scale, updates)
        return state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            collections=updated_collections(state.collections, updated),
            opt_state=opt_state,
        ), sums

    return step


def make_train_steps(step: Callable[..., tuple[TrainState, Tally]]) -> Callable[..., tuple[TrainState, Tally]]:
    """The function that takes S steps of `make_train_step` in one call: rows are [S, B], the tally's sums [S].

    The result equals S calls, since each step's keys come from the run's key and the step's number.
    """

    def steps(state, key, images, labels, rows):
        return jax.lax.scan(lambda state, batch: step(state, key, images, labels, batch), state, rows)

    return steps


def make_eval_step(model: nn.Module) -> Callable[..., tuple[Tally, jax.Array]]:
    """The function `(variables, images, labels, rows, valid) -> (tally, logits [B, K])` over one batch.

    Args of that function:
        variables: of the model.
        images, labels: the data set, uint8 [N, H, W, 3] and int32 [N].
        rows: int32 [B], indices of the batch's examples.
        valid: bool [B], False for rows that only fill the batch up and are not counted.
    """

    def step(variables, images, labels, rows, valid):
        logits = model.apply(variables, normalize(to_float(images[rows])), train=False)
        return tally(logits, labels[rows], valid), logits

    return step


def end_epoch(
    plateau: optax.GradientTransformationExtraArgs, state: TrainState, loss: jax.typing.ArrayLike
) -> TrainState:
    """The state after the reduce-on-plateau has seen an epoch's loss (nats)."""
    _, plateau_state = plateau.update({}, state.plateau, value=jnp.asarray(loss, jnp.float32))
    return state.replace(plateau=plateau_state)


def epoch_rows(seed: int, epoch: int, count: int, batch_size: int) -> Int32[np.ndarray, "S B"]:
    """A fresh order of `count` examples cut into batches: int32 [count // batch_size, batch_size].

    The incomplete last batch is dropped (PyTorch's loader, as the tutorial uses it, keeps it).
    NumPy draws the order, since a shuffle on the device takes half a second to compile.
    """
    steps = count // batch_size
    order = np.random.default_rng([seed, epoch]).permutation(count).astype(np.int32)
    return order[: steps * batch_size].reshape(steps, batch_size)
