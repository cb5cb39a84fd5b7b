"""Attention modules of every kind train, and their checkpoints restore what they have learned."""

import chex
import jax
import numpy as np
import pytest
import tiny
from attention_runs import KINDS, REDUCTION

from jaxattn.attention import resolve
from jaxattn.data import shapes
from jaxattn.data.augment import AUGMENT
from jaxattn.data.splits import Split
from jaxattn.networks import CNN
from jaxattn.runs import checkpoint
from jaxattn.runtime import QUICK_COMPILE
from jaxattn.training import optim
from jaxattn.training.batch import epoch_rows, make_batch
from jaxattn.training.state import init_state
from jaxattn.training.step import make_train_step

BATCH = 20


@pytest.fixture(scope="module")
def train():
    whole = shapes.make(train=100, test=10).train
    return Split(whole.images[:, ::2, ::2], whole.labels)


@pytest.mark.parametrize("name", KINDS)
def test_an_epoch_on_shapes_moves_every_weight_and_its_checkpoint_is_restored(name, train, tmp_path):
    model = CNN(widths=(4, 8), hidden=16, dropout=0.0, attention=resolve(name, REDUCTION), attention_at=(2,))
    optimizer, plateau = optim.adam(lambda step: 1e-2, 0.0), optim.plateau("constant", 0.5, 3)

    def init(key):
        return init_state(model, optimizer, plateau, key, (16, 16, 3))

    step = make_train_step(model, optimizer, make_batch(AUGMENT["none"], tiny.SPEC), True)
    step = jax.jit(step, compiler_options=QUICK_COMPILE)
    state = started = jax.jit(init, compiler_options=QUICK_COMPILE)(jax.random.key(0, impl="rbg"))
    for rows in epoch_rows(1, 1, len(train), BATCH):
        state, tally = step(state, jax.random.key(2), train.images, train.labels, rows)
        assert np.isfinite(tally.loss)
    for (path, before), after in zip(
        jax.tree.leaves_with_path(started.params), jax.tree.leaves(state.params), strict=True
    ):
        assert np.array_equal(before, after) == ("frozen" in jax.tree_util.keystr(path)), path

    checkpoint.save(tmp_path, 1, state, {1})
    back = checkpoint.restore(tmp_path, 1, jax.eval_shape(init, jax.random.key(0)))
    chex.assert_trees_all_equal(jax.device_get(back), jax.device_get(state))
