"""The learning rate and the optimiser, against the rules they are named after."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxattn.errors import InputError
from jaxattn.training import optim


def rates_by_pytorchs_rule(losses, factor, patience):
    """ReduceLROnPlateau's rule: mode min, relative threshold 1e-4, no cooldown."""
    scale, best, bad, scales = 1.0, math.inf, 0, []
    for loss in losses:
        if loss < best * (1 - 1e-4):
            best, bad = loss, 0
        else:
            bad += 1
        if bad > patience:
            scale, bad = scale * factor, 0
        scales.append(scale)
    return scales


def ours(losses, schedule, factor, patience):
    transform = optim.plateau(schedule, factor, patience)
    update = jax.jit(lambda state, loss: transform.update({}, state, value=loss)[1])
    state, scales = transform.init({"w": jnp.zeros(2)}), []
    for loss in losses:
        state = update(state, jnp.float32(loss))
        scales.append(float(state.scale))
    return scales


@pytest.mark.parametrize("patience", [0, 1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_plateau_falls_in_the_epochs_in_which_pytorchs_does(patience, seed):
    losses = 1 + 0.1 * np.random.default_rng(seed).standard_normal(30) / np.arange(1, 31)
    expected = rates_by_pytorchs_rule(losses, 0.5, patience)
    assert ours(losses, "plateau", 0.5, patience) == expected
    assert expected[-1] < 1


def test_plateau_equals_pytorchs_own():
    torch = pytest.importorskip("torch")
    losses = [3, 2, 2.5, 2.4, 2.3, 2.2, 2.1, 1.9999, 1.5, 1.6, 1.6, 1.6, 1.6, 1.6, 1.6, 1.6, 1.6]
    adam = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(adam, factor=0.5, patience=3)
    theirs = []
    for loss in losses:
        plateau.step(loss)
        theirs.append(adam.param_groups[0]["lr"])
    assert ours(losses, "plateau", 0.5, 3) == theirs


def test_plateau_never_falls_under_another_schedule():
    assert set(ours([1.0] * 50, "cosine", 0.5, 0)) == {1.0}


def test_cosine_rises_in_warmup_and_ends_at_zero():
    rate = optim.learning_rate("cosine", 0.2, steps=110, warmup=10)
    assert float(rate(0)) == pytest.approx(0.02)
    assert float(rate(9)) == pytest.approx(0.2)
    assert float(rate(60)) == pytest.approx(0.1)
    assert float(rate(110)) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("name", ["plateau", "constant"])
def test_other_schedules_stay_at_the_peak(name):
    rate = optim.learning_rate(name, 0.2, steps=10, warmup=0)
    assert [float(rate(step)) for step in (0, 5, 10, 99)] == pytest.approx([0.2] * 4)


def test_unknown_schedule_lists_the_known():
    with pytest.raises(InputError, match=r"unknown schedule 'step'; known are plateau, cosine, linear, steps"):
        optim.learning_rate("step", 1.0, 1, 0)


def test_adam_takes_the_steps_of_its_paper():
    """Algorithm 1 by hand for a scalar, with decoupled decay added: w - lr (m / (sqrt(v) + eps) + decay w)."""
    gradients, rate, decay = [0.5, -1.0, 2.0], 0.1, 0.01
    weight, m, v = 1.0, 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        step = (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
        weight -= rate * (step + decay * weight)
    optimizer = optim.adam(lambda step: rate, decay, lambda params: {name: name == "kernel" for name in params})
    params = {"kernel": jnp.ones((1, 1)), "bias": jnp.ones(1)}
    state = optimizer.init(params)
    for g in gradients:
        updates, state = optimizer.update(jax.tree.map(lambda p, g=g: jnp.full_like(p, g), params), state, params)
        params = jax.tree.map(jnp.add, params, updates)
    assert float(params["kernel"][0, 0]) == pytest.approx(weight, rel=1e-5)
    assert float(params["bias"][0]) > float(params["kernel"][0, 0])  # a bias is not decayed
