"""The pure functions of training and evaluation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from flax import linen as nn
from report_runs import QUICKLY, drawn

from jaxattn.attention import resolve
from jaxattn.data.augment import AUGMENT, to_input
from jaxattn.data.splits import Split
from jaxattn.errors import InputError
from jaxattn.networks import CNN, create
from jaxattn.training import evaluation, optim
from jaxattn.training.batch import epoch_rows, make_batch
from jaxattn.training.groups import decayed
from jaxattn.training.state import init_state, tally
from jaxattn.training.step import end_epoch, make_eval_step, make_train_step, make_train_steps

MODEL = CNN(widths=(4, 8), hidden=32, dropout=0.2)
OPTIMIZER = optim.adam(optim.learning_rate("plateau", 3e-3, 1, 0), 0.0)
PLATEAU = optim.plateau("plateau", 0.5, 0)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 32, 32, 3)).astype(np.uint8)
LABELS = RNG.integers(0, 10, 40).astype(np.int32)
ROWS = np.arange(8)


def started(model=MODEL, optimizer=OPTIMIZER):
    def init(key):
        return init_state(model, optimizer, PLATEAU, key, (32, 32, 3))

    return QUICKLY(init)(jax.random.key(0))


fresh = functools.cache(started)


@functools.cache
def step_of(train, augment="none"):
    return QUICKLY(make_train_step(MODEL, OPTIMIZER, make_batch(AUGMENT[augment], tiny.SPEC), train))


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


def test_tally_counts_valid_rows_only():
    logits = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]]))
    sums = tally(logits, jnp.array([0, 2, 2]), jnp.array([True, True, False]))
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
    assert equal(state.collections, fresh().collections)
    assert not equal(state.params["block_1"]["norm"], fresh().params["block_1"]["norm"])


def test_plateau_scales_the_update():
    key = jax.random.key(0)
    whole, _ = step_of(True)(fresh(), key, IMAGES, LABELS, ROWS)
    state = fresh()
    for loss in (1.0, 2.0):  # patience 0: the second, no better, halves the rate
        state = end_epoch(PLATEAU, state, loss)
    halved, _ = step_of(True)(state, key, IMAGES, LABELS, ROWS)
    for start, full, half in zip(leaves(fresh().params), leaves(whole.params), leaves(halved.params), strict=True):
        np.testing.assert_allclose(half - start, (full - start) / 2, atol=1e-7)  # float32 around weights of about 1


def test_training_memorises_a_batch():
    step, state, key = step_of(True), fresh(), jax.random.key(0)
    for _ in range(60):
        state, sums = step(state, key, IMAGES, LABELS, ROWS)
    assert int(sums.correct) >= 7


@pytest.mark.parametrize("size", [40, 16, 7])
def test_evaluation_counts_every_image_once_at_any_batch_size(size, monkeypatch):
    monkeypatch.setattr(evaluation, "BATCH", size)
    step, variables = QUICKLY(make_eval_step(MODEL, tiny.SPEC)), fresh().variables
    loss, accuracy, logits = evaluation.evaluate(step, variables, Split(IMAGES, LABELS))
    expected = QUICKLY(MODEL.apply)(variables, to_input(jnp.asarray(IMAGES), tiny.SPEC))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    losses = optax.softmax_cross_entropy_with_integer_labels(expected, LABELS)
    assert loss == pytest.approx(float(losses.mean()), rel=1e-5)
    assert accuracy == np.mean(np.asarray(expected).argmax(axis=1) == LABELS)


@pytest.mark.parametrize(("count", "multiple"), [(1, 1), (5, 8), (256, 1), (300, 1), (300, 3), (513, 8)])
def test_batches_hold_every_example_once_and_are_filled_up_with_copies(count, multiple):
    found = list(evaluation.batches(count, multiple))
    order = np.concatenate([rows[valid] for rows, valid in found])
    assert sorted(order.tolist()) == list(range(count))
    assert evaluation.joined([{"x": rows[valid] * 2} for rows, valid in found], [rows[valid] for rows, valid in found])[
        "x"
    ].tolist() == list(range(0, 2 * count, 2))
    assert len({len(rows) for rows, _ in found}) == 1 and len(found[0][0]) % multiple == 0
    for rows, valid in found:
        last = rows[valid][-evaluation.FILL :]
        np.testing.assert_array_equal(rows[-len(last) :], last)  # so the end of the batch looks as without the fill


def test_a_batch_has_more_rows_of_fill_than_the_network_has_sites():
    assert evaluation.fill_of(CNN()) == evaluation.FILL > 3
    deep = evaluation.fill_of(create("none", 16, (32, 32, 3), "resnet110"))
    assert deep == 55
    ((rows, valid),) = evaluation.batches(60, fill=deep)
    assert len(rows) == 60 + deep and valid.sum() == 60
    np.testing.assert_array_equal(rows[-deep:], rows[60 - deep : 60])


def test_the_image_before_another_in_a_batch_is_of_any_class_even_where_classes_are_sorted():
    labels = np.repeat(np.arange(5), 200)
    same = [np.mean(labels[rows][1:] == labels[rows][:-1]) for rows, _ in evaluation.batches(1000)]
    assert 0.1 < np.mean(same) < 0.3  # a fifth by chance


def test_logits_do_not_depend_on_how_batches_are_filled_up_even_where_a_block_mixes_their_images(monkeypatch):
    """The control `shuffled` gives an image the gate of the one before it in the batch, the first that of the last."""
    model = CNN(widths=(4, 8), hidden=16, attention=resolve("shuffled", reduction=1))
    variables = drawn(model, 0, (32, 32, 3))  # of large weights: gates differ between images
    step, split, whole = QUICKLY(make_eval_step(model, tiny.SPEC)), Split(IMAGES, LABELS), evaluation.batches
    monkeypatch.setattr(evaluation, "BATCH", 15)
    found = []
    for multiple in (1, 7, 16, 24, 64):
        monkeypatch.setattr(evaluation, "batches", lambda count, _, fill, m=multiple: whole(count, m, fill=fill))
        found.append(evaluation.evaluate(step, variables, split)[2])
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5 * np.abs(found[0]).max())


def test_epoch_takes_each_image_at_most_once_in_a_new_order():
    rows = [epoch_rows(0, epoch, 43, 8) for epoch in (1, 2)]
    assert rows[0].shape == (5, 8)
    assert len(set(rows[0].ravel())) == 40 and rows[0].max() < 43
    assert not np.array_equal(*rows) and not np.array_equal(rows[0], epoch_rows(1, 1, 43, 8))
    np.testing.assert_array_equal(rows[0], epoch_rows(0, 1, 43, 8))


def test_frozen_gate_stays_as_it_was_drawn_under_weight_decay():
    model = CNN(widths=(4, 8), hidden=16, attention=resolve("random"))
    optimizer = optim.adam(lambda step: 0.1, 0.5, decayed(model))
    start = started(model, optimizer)
    step = QUICKLY(make_train_step(model, optimizer, make_batch(AUGMENT["none"], tiny.SPEC), True))
    state, _ = step(start, jax.random.key(0), IMAGES, LABELS, ROWS)
    gates = [s.params["block_1"]["attention"] for s in (start, state)]
    assert equal(*gates)
    assert not equal(start.params["hidden"], state.params["hidden"])


def test_steps_in_one_call_equal_single_steps():
    key, rows = jax.random.key(5), np.arange(40).reshape(5, 8)
    descent = optax.sgd(0.01)  # Adam would make a step of the noise that a convolution's bias gets before a norm
    one = make_train_step(MODEL, descent, make_batch(AUGMENT["full"], tiny.SPEC), True)
    step, steps = QUICKLY(one), QUICKLY(make_train_steps(one))
    start = state = started(optimizer=descent)
    sums = []
    for batch in rows:
        state, one_batch = step(state, key, IMAGES, LABELS, batch)
        sums.append([float(value) for value in one_batch])
    many, tallies = steps(start, key, IMAGES, LABELS, rows)
    np.testing.assert_allclose(np.transpose(tallies), sums, rtol=1e-4)
    for single, other in zip(leaves(state), leaves(many), strict=True):
        np.testing.assert_allclose(single, other, atol=1e-5)


class Growing(nn.Module):
    """Keeps a sum over the batch for each image: its shape depends on the batch."""

    @nn.compact
    def __call__(self, x):
        self.variable("memory", "sums", lambda: jnp.zeros(len(x))).value = x.sum(axis=(1, 2, 3))
        return x


def test_a_collection_that_changes_its_shape_in_a_step_is_reported_in_one_line():
    model = CNN(widths=(4, 8), hidden=16, attention=Growing)
    state = jax.eval_shape(lambda key: init_state(model, OPTIMIZER, PLATEAU, key, (32, 32, 3)), jax.random.key(0))
    step = make_train_step(model, OPTIMIZER, make_batch(AUGMENT["none"], tiny.SPEC), True)
    with pytest.raises(InputError, match="the collection 'memory' of a module must keep its shapes") as caught:
        jax.eval_shape(step, state, jax.random.key(0), IMAGES, LABELS, ROWS)
    assert "\n" not in str(caught.value)
