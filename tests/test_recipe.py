"""The ingredients of the recipe, each against an independent computation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from flax import linen as nn

from jaxattn import Config
from jaxattn.data.augment import alternating_flips, to_input
from jaxattn.errors import InputError
from jaxattn.networks import CNN
from jaxattn.networks.network import Group, Network
from jaxattn.runs.data import held_out
from jaxattn.training import initial, optim, program
from jaxattn.training.batch import make_batch
from jaxattn.training.evaluation import averaged_accuracy
from jaxattn.training.groups import of_group
from jaxattn.training.muon import muon, with_muon
from jaxattn.training.state import Tally, TrainState, smoothed_loss, update_average

RNG = np.random.default_rng(0)
WEIGHTS = np.random.default_rng(1).normal(size=10)


def conv(x, kernel, stride=1, padding="SAME"):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def take(optimizer, params, gradients):
    """The parameters after each of some gradients, which all parameters have in common."""
    state, history = optimizer.init(params), []
    for gradient in gradients:
        updates = jax.tree.map(lambda p, g=gradient: jnp.full_like(p, g), params)
        updates, state = optimizer.update(updates, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        history.append(params)
    return history


def kernels(params):
    return {name: name == "kernel" for name in params}


def test_sgd_takes_nesterov_steps_with_coupled_decay():
    """PyTorch's formula for a scalar: g += decay w, v = .9 v + g, w -= lr (g + .9 v)."""
    rate, decay, weight, velocity = 0.1, 0.01, 1.0, 0.0
    history = take(
        optim.sgd(lambda step: rate, decay, kernels), {"kernel": jnp.ones((1, 1)), "bias": jnp.ones(1)}, [0.5, -1, 2]
    )
    for gradient, params in zip([0.5, -1.0, 2.0], history, strict=True):
        decayed = gradient + decay * weight
        velocity = 0.9 * velocity + decayed
        weight -= rate * (decayed + 0.9 * velocity)
        assert float(params["kernel"][0, 0]) == pytest.approx(weight, rel=1e-5)
    assert float(history[0]["bias"][0]) == pytest.approx(1 - rate * 0.5 * 1.9)  # a bias is not decayed


def test_muon_makes_each_positions_update_about_orthogonal():
    """In float64, on singular values: Newton-Schulz's polynomial a s + b s^3 + c s^5, four times, by position.

    optax's Nesterov momentum has Adam's corrections for its start.
    """
    gradients = [RNG.normal(size=(6, 4)).astype(np.float32) for _ in range(3)]
    optimizer = muon(lambda step: 0.1, 0.5, channels={("hidden",): 3})
    params = {"hidden": {"kernel": jnp.array(RNG.normal(size=(6, 4)), jnp.float32)}}
    state, momentum = optimizer.init(params), 0.0
    for t, gradient in enumerate(gradients, 1):
        updates, state = optimizer.update({"hidden": {"kernel": jnp.array(gradient)}}, state, params)
        momentum = 0.6 * momentum + 0.4 * gradient
        ahead = 0.6 * momentum / (1 - 0.6 ** (t + 1)) + 0.4 * gradient / (1 - 0.6**t)
        for position in (slice(0, 3), slice(3, 6)):
            u, s, v = np.linalg.svd(ahead[position].astype(np.float64), full_matrices=False)
            s = s / np.linalg.norm(s)
            for _ in range(4):
                s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
            expected = -0.1 * (u * s @ v + 0.5 * np.asarray(params["hidden"]["kernel"])[position])
            np.testing.assert_allclose(updates["hidden"]["kernel"][position], expected, atol=1e-4)


def test_muon_of_one_position_is_that_positions():
    optimizer, gradient = muon(lambda step: 0.1, 0.0, {("hidden",): 3}), RNG.normal(size=(6, 4)).astype(np.float32)
    both, one = (
        optimizer.update(kernels, optimizer.init(kernels))[0]["hidden"]["kernel"]
        for kernels in ({"hidden": {"kernel": jnp.array(kernel)}} for kernel in (gradient, gradient[:3]))
    )
    np.testing.assert_allclose(one, both[:3], atol=1e-5)


def test_muon_splits_only_the_kernel_that_reads_a_map():
    """A hidden layer behind it has rows that the channels happen to divide."""
    kernel = jnp.array(np.random.default_rng(1).normal(size=(6, 4)), jnp.float32)
    kernels = {"hidden": {"kernel": kernel}, "second": {"kernel": kernel}}

    def updated(channels):
        optimizer = muon(lambda step: 0.1, 0.0, channels)
        return optimizer.update(kernels, optimizer.init(kernels))[0]

    whole, split = updated({}), updated({("hidden",): 3})
    np.testing.assert_array_equal(split["second"]["kernel"], whole["second"]["kernel"])
    assert not np.allclose(split["hidden"]["kernel"], whole["hidden"]["kernel"])


def test_channels_that_do_not_divide_the_rows_are_refused_in_one_line():
    kernels = {"deep": {"hidden": {"kernel": jnp.zeros((512, 4))}}}
    with pytest.raises(InputError, match="must divide the rows of deep/hidden, which are 512, got 96") as caught:
        muon(lambda step: 0.1, 0.0, {("deep", "hidden"): 96}).init(kernels)
    assert caught.value.setting == "muon_rate"


def test_muon_trains_the_hidden_kernel_and_nothing_else():
    params = {name: {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)} for name in ("hidden", "head")}
    optimizer = with_muon(optax.scale(2.0), optax.scale(3.0), of_group(CNN(), Group.HIDDEN))
    updates, _ = optimizer.update(params, optimizer.init(params))
    assert float(updates["hidden"]["kernel"][0, 0]) == 3
    assert {float(leaf.mean()) for leaf in (updates["hidden"]["bias"], *updates["head"].values())} == {2}


def test_only_the_biases_of_block_norms_get_another_rate():
    one = jnp.ones(1)
    params = {
        "block_1": {
            "norm": {"scale": one, "bias": one},
            "attention": {"norm": {"bias": one}},
            "conv": {"bias": one, "kernel": one},
        },
        "head": {"bias": one, "kernel": one},
    }
    optimizer = optim.scaled(8.0, of_group(CNN(), Group.NORM_BIAS))
    updates, _ = optimizer.update(params, optimizer.init(params))
    scaled = {"block_1": {**params["block_1"], "norm": {"scale": one, "bias": 8 * one}}, "head": params["head"]}
    assert updates == scaled


@pytest.mark.parametrize(("network", "epochs", "validation"), [("resnet20", None, 0.1), ("resnet56b", 164, 0.0)])
def test_the_published_recipe_of_residual_networks_takes_64_000_steps(network, epochs, validation):
    config = Config(network=network, recipe="paper", epochs=epochs, validation=validation)
    steps = (50_000 - held_out(config, 50_000)) // config.batch_size * config.epochs
    assert steps == pytest.approx(64_000, rel=2e-3)
    falls = optim.fractions(config.milestones)
    rate = optim.learning_rate(config.schedule, config.learning_rate, steps, 0, falls, config.milestone_factor)
    expected = {0: 0.1, 31_900: 0.1, 32_000: 0.01, 47_900: 0.01, 48_000: 0.001, steps - 1: 0.001}
    np.testing.assert_allclose([rate(step) for step in expected], list(expected.values()), rtol=1e-5)


@pytest.mark.parametrize("network", ["resnet110", "resnet110b"])
def test_only_the_deepest_of_them_warms_up(network):
    assert round(Config(network=network, recipe="paper").warmup_epochs * 351) == 400
    assert Config(network="resnet56", recipe="paper").warmup_epochs == 0


def test_no_recipe_is_called_published_where_none_was():
    with pytest.raises(InputError, match="unknown recipe 'paper'; known are standard for the network resnet18"):
        Config(network="resnet18", recipe="paper")


@pytest.mark.parametrize("text", ["0.75,0.5", "0,0.5", "0.5,1", "x", ""])
def test_milestones_are_rising_fractions(text):
    assert optim.fractions("0.5,0.75") == [0.5, 0.75]
    with pytest.raises(InputError, match="milestones must be rising fractions between 0 and 1"):
        optim.fractions(text)


def test_the_linear_schedule_falls_to_zero():
    rate = optim.learning_rate("linear", 0.2, steps=12, warmup=2)
    np.testing.assert_allclose([rate(step) for step in range(12)], [0.1, 0.2, *np.linspace(0.2, 0, 11)[:-1]], atol=1e-7)


def test_label_smoothing_spreads_a_fraction_of_the_label_over_all_classes():
    logits, labels = RNG.normal(size=(4, 5)).astype(np.float32), np.array([0, 3, 3, 1], np.int32)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -(0.8 * log_p[np.arange(4), labels] + 0.2 * log_p.mean(1)).mean()
    assert float(smoothed_loss(jnp.array(logits), jnp.array(labels), 0.2)) == pytest.approx(expected, rel=1e-6)


def test_the_average_follows_all_variables_and_forgets_its_start():
    values = RNG.normal(size=30)
    state = TrainState(jnp.int32(0), {"w": jnp.ones(1)}, {"batch_stats": {"m": jnp.ones(1)}}, (), (), {})
    state, expected = state.replace(average={"params": {"w": jnp.ones(1)}, **state.collections}), 1.0
    for t, value in enumerate(values, 1):
        state = state.replace(step=jnp.int32(t), params={"w": jnp.full(1, value)})
        state = update_average(state.replace(collections={"batch_stats": {"m": jnp.full(1, -value)}}), 0.7)
        d = min(0.7, t / (t + 9))
        expected = d * expected + (1 - d) * value
        assert float(state.variables["params"]["w"][0]) == pytest.approx(expected, rel=1e-5)
    assert float(state.variables["batch_stats"]["m"][0]) == pytest.approx(-expected, abs=1e-2)


def test_whitening_filters_give_uncorrelated_outputs_of_variance_one():
    images = tiny.splits().train.images
    images = RNG.integers(0, 256, images.shape).astype(np.uint8) // 2 + images // 2
    drawn = RNG.normal(size=(3, 3, 3, 57)).astype(np.float32)
    kernel = initial.whitening_kernel(images, tiny.SPEC, drawn)
    np.testing.assert_array_equal(kernel[..., 54:], drawn[..., 54:])  # 27 axes with both signs
    np.testing.assert_array_equal(kernel[..., :27], -kernel[..., 27:54])
    out = conv(to_input(images, tiny.SPEC), kernel[..., :27], 3, "VALID").reshape(-1, 27)
    second_moments = out.T @ out / len(out)
    np.testing.assert_allclose(second_moments, np.eye(27), atol=0.02)  # EPSILON is added to the variances


def test_whitened_are_images_of_all_classes_even_where_classes_are_sorted():
    shuffled = np.arange(12_000, dtype=np.int32) % 3
    np.testing.assert_array_equal(initial.representative(shuffled), np.arange(initial.IMAGES))
    rows = initial.representative(np.sort(shuffled))
    assert len(set(rows.tolist())) == initial.IMAGES
    np.testing.assert_allclose(np.bincount(np.sort(shuffled)[rows]) / initial.IMAGES, 1 / 3, atol=1e-3)
    np.testing.assert_array_equal(initial.representative(shuffled[:7]), np.arange(7))


def test_dirac_filters_pass_their_channels():
    drawn = RNG.normal(size=(3, 3, 4, 6)).astype(np.float32)
    x = jnp.array(RNG.normal(size=(2, 8, 8, 4)).astype(np.float32))
    out = conv(x, initial.dirac_kernel(drawn))
    np.testing.assert_allclose(out[..., :4], x, atol=1e-5)
    np.testing.assert_allclose(out[..., 4:], conv(x, drawn)[..., 4:], atol=1e-5)


def test_alternating_flips_show_both_orientations_in_two_epochs():
    rows = jnp.arange(1000)
    first, second, third = (np.asarray(alternating_flips(rows, epoch)) for epoch in range(3))
    np.testing.assert_array_equal(first, ~second)
    np.testing.assert_array_equal(first, third)
    assert 480 < first.sum() < 520 and 400 < (first[1:] != first[:-1]).sum() < 800


def test_flips_alternate_with_the_epoch_of_the_step():
    def augment(key, images, flip):
        return jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)

    images, rows = tiny.splits().train.images[:8], jnp.arange(8)
    batch = make_batch(augment, tiny.SPEC, steps_per_epoch=3)
    for step in range(7):
        flipped = np.asarray(alternating_flips(rows, step // 3))[:, None, None, None]
        expected = to_input(np.where(flipped, images[:, :, ::-1], images), tiny.SPEC)
        np.testing.assert_allclose(batch(jax.random.key(0), jnp.int32(step), images, rows), expected, atol=1e-6)


def test_flips_at_test_time_average_the_logits_of_both_orientations():
    split = tiny.splits().test
    answers = {split.images.tobytes(): 1.0, split.images[:, :, ::-1].tobytes(): -2.0}

    def step(variables, images, labels, rows, valid):
        sign = answers[np.asarray(images).tobytes()]
        return Tally(*np.zeros((3,), np.int32) + 1), sign * np.eye(10, dtype=np.float32)[np.asarray(labels)[rows]]

    right = np.eye(10, dtype=np.float32)[split.labels]
    assert averaged_accuracy(step, {}, split, right, "flips") == 0  # 1 - 2 for the label
    assert averaged_accuracy(step, {}, split, 3 * right, "flips") == 1


def test_flips_and_shifts_at_test_time_count_the_unmoved_image_and_its_mirror_image_half():
    split = tiny.splits().test
    split = dataclasses.replace(split, images=np.random.default_rng(0).integers(0, 256, split.images.shape, np.uint8))

    def answers(images):  # what depends on where a pixel is
        return np.asarray(images)[:, 3, 5, :1] * np.linspace(-1, 1, 10) + np.asarray(images)[:, 0, 0, 1:2] * WEIGHTS

    def step(variables, images, labels, rows, valid):
        return Tally(*np.zeros((3,), np.int32) + 1), answers(images)[np.asarray(rows)]

    images = split.images.astype(np.int64)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    copies = [images, images[:, :, ::-1]]
    for moved in (padded[:, :32, :32], padded[:, 2:, 2:]):
        copies += [moved, moved[:, :, ::-1]]
    weights = [1 / 4, 1 / 4, 1 / 8, 1 / 8, 1 / 8, 1 / 8]
    mean = sum(weight * answers(copy) for weight, copy in zip(weights, copies, strict=True))
    expected = np.mean(mean.argmax(axis=1) == split.labels)
    assert averaged_accuracy(step, {}, split, answers(images), "flips-and-shifts") == expected


class Bare(Network):
    """A network without convolutions, norms and hidden matrices."""

    @nn.nowrap
    def sites(self):
        return ()

    @nn.compact
    def __call__(self, images, train=False):
        return nn.Dense(self.classes, name="head")(images.mean(axis=(1, 2)))


def ingredients(network, **settings):
    config = Config(network=network, **settings)
    return program.ingredients(config, program.build(config, tiny.SPEC, 1))


@pytest.mark.parametrize(
    ("network", "setting", "message"),
    [
        ("resnet20", {"muon_rate": 0.02}, "muon_rate 0.02 has no effect in the network resnet20; leave it at 0"),
        ("airbench94", {"muon_rate": 0.02}, "muon_rate 0.02 has no effect in the network airbench94; leave it at 0"),
        (f"{__name__}:Bare", {"first_conv": "whitening"}, r"first_conv whitening has no .*; leave it at pytorch"),
        (f"{__name__}:Bare", {"norm_bias_rate": 2.0}, r"norm_bias_rate 2.0 has no effect in .*; leave it at 1"),
        ("own_network:Net", {"later_convs": "dirac"}, r"later_convs dirac has no effect in .*; leave it at pytorch"),
    ],
)
def test_an_ingredient_that_acts_on_nothing_is_an_error(network, setting, message):
    with pytest.raises(InputError, match=message) as caught:
        ingredients(network, **setting)
    assert [caught.value.setting] == [*setting]


def test_what_the_recipe_of_any_network_sets_acts_on_something():
    assert ingredients(f"{__name__}:Bare") == {"weight_decay": ("head/kernel",)}
