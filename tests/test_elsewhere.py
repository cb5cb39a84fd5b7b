"""Attention modules in networks of others, Linen's and NNX's, on maps of any size; no setting of JAX changes."""

import os
import subprocess
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx
from flax.nnx import bridge

from jaxattn import attention
from jaxattn.attention import CBAM, SE, SRM

GOLDEN = Path(__file__).parent / "golden" / "format-4"
CLASSES = [name for name in attention.__all__ if name not in ("ATTENTION", "Gate", "resolve")]
pytestmark = pytest.mark.colab


def test_every_module_has_a_name_in_the_package():
    named = {getattr(attention, name) for name in CLASSES}
    classes = {getattr(one, "func", one) for one in attention.ATTENTION.values() if one is not None}
    others = {"BottleneckAttentionCode", "GlobalContextScale", "GatherExciteLearned", "Constant", "Random", "Shuffled"}
    assert {one.__name__ for one in classes - named} == others  # variants and controls, which ATTENTION has


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 9)])
def test_a_module_takes_maps_of_any_size(name, shape):
    x = jax.random.normal(jax.random.key(0), (2, *shape, 16))
    y, _ = getattr(attention, name)().init_with_output(jax.random.key(1), x)
    chex.assert_equal_shape([x, y])
    chex.assert_tree_all_finite(y)


class Net(nnx.Module):
    """A network of somebody else's, in Flax's newer interface."""

    def __init__(self, module, rngs):
        self.conv = nnx.Conv(3, 16, (3, 3), rngs=rngs)
        self.attention = bridge.ToNNX(module, rngs=rngs).lazy_init(jnp.zeros((1, 8, 8, 16)))
        self.head = nnx.Linear(16, 10, rngs=rngs)

    def features(self, x):
        return nnx.relu(self.conv(x))

    def __call__(self, x):
        return self.head(self.attention(self.features(x)).mean(axis=(1, 2)))


@nnx.jit
def step(net, optimizer, x, y):
    def loss(net):
        return optax.softmax_cross_entropy_with_integer_labels(net(x), y).mean()

    value, gradients = nnx.value_and_grad(loss)(net)
    optimizer.update(net, gradients)
    return value


@pytest.mark.parametrize("module", [SE(), CBAM()])
def test_a_network_in_nnx_trains_and_shows_its_gates(module):
    net = Net(module, nnx.Rngs(0))
    before = jax.tree.map(np.array, nnx.state(net.attention, nnx.Param))
    optimizer = nnx.Optimizer(net, optax.adam(1e-2), wrt=nnx.Param)
    x, y = jax.random.normal(jax.random.key(0), (16, 8, 8, 3)), jnp.arange(16) % 10
    losses = [float(step(net, optimizer, x, y)) for _ in range(3)]
    assert losses[2] < losses[0]
    after = nnx.state(net.attention, nnx.Param)
    changed = jax.tree.map(lambda old, new: bool(np.any(old != np.asarray(new))), before, after)
    assert all(jax.tree.leaves(changed))
    maps = net.features(x)
    if isinstance(module, SE):
        gate = net.attention(maps, method="gate")
        assert gate.shape == (16, 1, 1, 16) and float(gate.min()) > 0 and float(gate.max()) < 1
        np.testing.assert_allclose(net.attention(maps), maps * gate, rtol=1e-6)


def test_statistics_are_updated_in_nnx_where_a_module_has_them():
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 16)) + 3
    module = bridge.ToNNX(SRM(train=True), rngs=nnx.Rngs(0)).lazy_init(x)
    statistics = [np.array(jax.tree.leaves(nnx.state(module, nnx.BatchStat)))]
    module(x, mutable=["batch_stats"])
    statistics.append(np.array(jax.tree.leaves(nnx.state(module, nnx.BatchStat))))
    np.testing.assert_allclose(statistics[1] - statistics[0], [[0] * 16, [-0.1] * 16], atol=1e-6)  # all is 0 at first


def test_a_linen_network_of_ones_own_takes_a_module_in_a_line():
    class Mine(nn.Module):
        @nn.compact
        def __call__(self, x):
            return SE(reduction=4)(nn.relu(nn.Conv(8, (3, 3))(x)))

    y, variables = Mine().init_with_output(jax.random.key(0), jnp.ones((1, 6, 6, 3)))
    assert y.shape == (1, 6, 6, 8) and "SqueezeExcitation_0" in variables["params"]


def test_imports_and_load_run_change_no_setting_of_jax():
    code = """
import os, sys
import jax
before, environment = dict(jax.config.values), dict(os.environ)
import jaxattn.attention, jaxattn.networks, jaxattn.explain.analysis
import functools
from jaxattn import load_run
from jaxattn.training import program
program.create = functools.partial(program.create, widths=(4, 4, 8), hidden=8)  # that of the tests' runs
load_run(sys.argv[1])
changed = {name: value for name, value in jax.config.values.items() if before.get(name) != value}
print(changed, dict(os.environ) == environment)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(GOLDEN)], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert done.stdout == "{} True\n", done.stderr
