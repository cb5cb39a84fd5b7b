"""Every attention module trains, and what it has learnt comes back from the disk."""

import jax
import numpy as np
import pytest
from attention_runs import NAMES, QUICK, REDUCTION

from jaxattn import checkpoint, optim, training
from jaxattn.attention import resolve
from jaxattn.data import shapes
from jaxattn.data.splits import Split
from jaxattn.model import CNN

BATCH = 20


@pytest.fixture(scope="module")
def pictures():
    train = shapes.make(train=100, test=10).train
    return Split(train.images[:, ::2, ::2], train.labels)


@pytest.mark.parametrize("name", [*NAMES, "channel+spatial"])
def test_an_epoch_on_shapes_moves_every_weight_and_its_checkpoint_comes_back(name, pictures, tmp_path):
    model = CNN(widths=(4, 8), hidden=16, dropout=0.0, attention=resolve(name, REDUCTION), attention_at=(2,))
    optimizer, plateau = optim.adam(lambda step: 1e-2, 0.0), optim.plateau("constant", 0.5, 3)

    def init(key):
        return training.init_state(model, optimizer, plateau, key, (16, 16, 3))

    step = training.make_train_step(model, optimizer, lambda key, images: images, True)
    step = jax.jit(step, compiler_options=QUICK)
    state = started = jax.jit(init, compiler_options=QUICK)(jax.random.key(0, impl="rbg"))
    for rows in training.epoch_rows(1, 1, len(pictures), BATCH):
        state, tally = step(state, jax.random.key(2), pictures.images, pictures.labels, rows)
        assert np.isfinite(tally.loss)
    for (path, before), after in zip(
        jax.tree.leaves_with_path(started.params), jax.tree.leaves(state.params), strict=True
    ):
        assert np.array_equal(before, after) == ("frozen" in jax.tree_util.keystr(path)), path

    checkpoint.save(tmp_path, 1, state, {1})
    back = checkpoint.restore(tmp_path, 1, jax.eval_shape(init, jax.random.key(0)))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(back), jax.device_get(state))
