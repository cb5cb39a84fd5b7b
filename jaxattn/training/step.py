"""Training and evaluation steps as pure functions of arrays."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxattn.data.augment import to_input
from jaxattn.data.mixing import mixup
from jaxattn.data.spec import Spec
from jaxattn.training.state import Tally, TrainState, smoothed_loss, tally, update_average, updated_collections


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    batch_of: Callable[..., jax.Array],
    train: bool,
    smoothing: float = 0.0,
    average: float = 0.0,
    alpha: float = 0.0,
) -> Callable[..., tuple[TrainState, Tally]]:
    """The function `(state, key, images, labels, rows, numbers=None) -> (state, tally)` that takes one step.

    Args of that function:
        state, key: `TrainState`, and the run's key: step t draws from `fold_in(key, t)`.
        images, labels: the data set or a part of it, uint8 [N, H, W, 3] and int32 [N].
        rows, numbers: int32 [B], as in `batch.make_batch`.

    Args:
        model, optimizer: what is trained, and how.
        batch_of: from `batch.make_batch`.
        train: whether dropout drops and norms use the batch's statistics; False trains in evaluation mode.
        smoothing: label smoothing, a fraction; the tally's loss is without it.
        average, alpha: decay per step of the state's moving average, if it has one; alpha of mixup, 0 for none.
    """

    def step(state, key, images, labels, rows, numbers=None):
        key_augment, key_dropout = jax.random.split(jax.random.fold_in(key, state.step))
        batch, targets = batch_of(key_augment, state.step, images, rows, numbers), labels[rows]
        batch, weight = mixup(jax.random.fold_in(key_augment, 2), batch, alpha) if alpha else (batch, None)
        names, rngs = list(state.collections), {"dropout": key_dropout}

        def loss_of(params):
            variables = {"params": params, **state.collections}
            logits, updated = model.apply(variables, batch, train=train, rngs=rngs, mutable=names)
            sums = tally(logits, targets, jnp.ones(targets.shape, bool))
            return _loss(logits, targets, smoothing, weight), (sums, updated)

        gradients, (sums, updated) = jax.grad(loss_of, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        updates = jax.tree.map(lambda update: update * state.plateau.scale, updates)
        params = optax.apply_updates(state.params, updates)
        collections = updated_collections(state.collections, updated)
        state = state.replace(step=state.step + 1, params=params, collections=collections, opt_state=opt_state)
        return update_average(state, average), sums

    return step


def _loss(logits, targets, smoothing, weight):
    """The loss of a batch; with mixup, `weight` is each image's own share of its mixture."""
    loss = smoothed_loss(logits, targets, smoothing)
    if weight is None:
        return loss
    return weight * loss + (1 - weight) * smoothed_loss(logits, jnp.roll(targets, 1), smoothing)


def make_train_steps(step: Callable[..., tuple[TrainState, Tally]]) -> Callable[..., tuple[TrainState, Tally]]:
    """The function that takes S steps of `make_train_step` in one call: rows and numbers are [S, B], sums [S].

    The result equals S calls, since each step's keys come from the run's key and the step's number.
    """

    def steps(state, key, images, labels, rows, numbers=None):
        return jax.lax.scan(lambda state, batch: step(state, key, images, labels, *batch), state, (rows, numbers))

    return steps


def make_eval_step(model: nn.Module, spec: Spec) -> Callable[..., tuple[Tally, jax.Array]]:
    """The function `(variables, images, labels, rows, valid) -> (tally, logits [B, K])` over one batch.

    Args of that function:
        variables: of the model.
        images, labels: the data set, uint8 [N, H, W, 3] and int32 [N].
        rows: int32 [B], indices of the batch's examples.
        valid: bool [B], False for rows that only fill the batch up and are not counted.

    Args:
        model: the network.
        spec: of the data set.
    """

    def step(variables, images, labels, rows, valid):
        logits = model.apply(variables, to_input(images[rows], spec), train=False)
        return tally(logits, labels[rows], valid), logits

    return step


def end_epoch(
    plateau: optax.GradientTransformationExtraArgs, state: TrainState, loss: jax.typing.ArrayLike
) -> TrainState:
    """The state after the reduce-on-plateau has seen an epoch's loss (nats)."""
    _, plateau_state = plateau.update({}, state.plateau, value=jnp.asarray(loss, jnp.float32))
    return state.replace(plateau=plateau_state)
