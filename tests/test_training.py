"""The pure functions of training and evaluation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxattn import optim, training
from jaxattn.data.augment import AUGMENT
from jaxattn.model import CNN

MODEL = CNN(widths=(4, 8), hidden=32, dropout=0.2)
OPTIMIZER = optim.adam(optim.learning_rate("plateau", 3e-3, 1, 0), 0.0)
PLATEAU = optim.plateau("plateau", 0.5, 0)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 32, 32, 3)).astype(np.uint8)
LABELS = RNG.integers(0, 10, 40).astype(np.int32)
ROWS = np.arange(8)


def fresh():
    return training.init_state(MODEL, OPTIMIZER, PLATEAU, jax.random.key(0), (32, 32, 3))


def step_of(train, augment="none"):
    return jax.jit(training.make_train_step(MODEL, OPTIMIZER, AUGMENT[augment], train))


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


def test_tally_counts_valid_rows_only():
    logits = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]]))
    sums = training.tally(logits, jnp.array([0, 2, 2]), jnp.array([True, True, False]))
    assert float(sums.loss) == pytest.approx(-np.log(0.5) - np.log(0.1))
    assert (int(sums.correct), int(sums.count)) == (1, 2)


def test_step_depends_on_state_key_and_data_only():
    step, key = step_of(True, "full"), jax.random.key(5)
    first, again = step(fresh(), key, IMAGES, LABELS, ROWS), step(fresh(), key, IMAGES, LABELS, ROWS)
    assert equal(first, again)
    assert not equal(first, step(fresh(), jax.random.key(6), IMAGES, LABELS, ROWS))
    assert int(first[0].step) == 1


def test_each_step_draws_anew_from_one_key():
    step, key = step_of(True, "basic"), jax.random.key(5)
    later = fresh().replace(step=jnp.int32(7))
    assert not equal(step(fresh(), key, IMAGES, LABELS, ROWS)[1], step(later, key, IMAGES, LABELS, ROWS)[1])


def test_evaluation_mode_training_freezes_statistics_but_not_weights():
    state, _ = step_of(False)(fresh(), jax.random.key(0), IMAGES, LABELS, ROWS)
    assert equal(state.batch_stats, fresh().batch_stats)
    assert not equal(state.params["block_1"]["norm"], fresh().params["block_1"]["norm"])


def test_plateau_scales_the_update():
    key = jax.random.key(0)
    whole, _ = step_of(True)(fresh(), key, IMAGES, LABELS, ROWS)
    state = fresh()
    for loss in (1.0, 2.0):  # patience 0: the second, no better, halves the rate
        state = training.end_epoch(PLATEAU, state, loss)
    halved, _ = step_of(True)(state, key, IMAGES, LABELS, ROWS)
    for start, full, half in zip(leaves(fresh().params), leaves(whole.params), leaves(halved.params), strict=True):
        np.testing.assert_allclose(half - start, (full - start) / 2, atol=1e-7)  # float32 around weights of about 1


def test_training_learns_the_pictures_by_heart():
    step, state, key = step_of(True), fresh(), jax.random.key(0)
    for _ in range(60):
        state, sums = step(state, key, IMAGES, LABELS, ROWS)
    assert int(sums.correct) >= 7


@pytest.mark.parametrize("size", [40, 16, 7])
def test_evaluation_counts_every_picture_once_at_any_batch_size(size):
    evaluate = jax.jit(training.make_eval_step(MODEL))
    variables = fresh().variables
    parts = [evaluate(variables, IMAGES, LABELS, start + np.arange(size))[0] for start in range(0, 40, size)]
    total = np.sum([[float(value) for value in part] for part in parts], axis=0)
    logits = jax.jit(MODEL.apply)(variables, training.normalize(training.to_float(IMAGES)))
    expected = training.tally(logits, LABELS, np.ones(40, bool))
    np.testing.assert_allclose(total, [float(value) for value in expected], rtol=1e-5)
    assert total[2] == 40


def test_epoch_takes_each_picture_at_most_once_in_a_new_order():
    rows = [training.epoch_rows(0, epoch, 43, 8) for epoch in (1, 2)]
    assert rows[0].shape == (5, 8)
    assert len(set(rows[0].ravel())) == 40 and rows[0].max() < 43
    assert not np.array_equal(*rows) and not np.array_equal(rows[0], training.epoch_rows(1, 1, 43, 8))
    np.testing.assert_array_equal(rows[0], training.epoch_rows(0, 1, 43, 8))


def test_frozen_gate_stays_as_it_was_drawn_under_weight_decay():
    from jaxattn.attention import resolve

    model = CNN(widths=(4, 8), hidden=16, attention=resolve("random"))
    optimizer = optim.adam(lambda step: 0.1, weight_decay=0.5)
    start = training.init_state(model, optimizer, PLATEAU, jax.random.key(0), (32, 32, 3))
    step = jax.jit(training.make_train_step(model, optimizer, AUGMENT["none"], True))
    state, _ = step(start, jax.random.key(0), IMAGES, LABELS, ROWS)
    gates = [s.params["block_1"]["attention"] for s in (start, state)]
    assert equal(*gates)
    assert not equal(start.params["hidden"], state.params["hidden"])


def test_steps_in_one_call_equal_single_steps():
    key, rows = jax.random.key(5), np.arange(40).reshape(5, 8)
    descent = optax.sgd(0.01)  # Adam would make a step of the noise that a convolution's bias gets before a norm
    one = training.make_train_step(MODEL, descent, AUGMENT["full"], True)
    step, steps = jax.jit(one), jax.jit(training.make_train_steps(one))
    start = state = training.init_state(MODEL, descent, PLATEAU, jax.random.key(0), (32, 32, 3))
    sums = []
    for batch in rows:
        state, tally = step(state, key, IMAGES, LABELS, batch)
        sums.append([float(value) for value in tally])
    many, tallies = steps(start, key, IMAGES, LABELS, rows)
    np.testing.assert_allclose(np.transpose(tallies), sums, rtol=1e-4)
    for single, other in zip(leaves(state), leaves(many), strict=True):
        np.testing.assert_allclose(single, other, atol=1e-5)
