"""Attention that starts as the identity: each module, and where it stands in a trained network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxattn.attention import ATTENTION, Gate, resolve
from jaxattn.attention.blend import blended
from jaxattn.errors import InputError
from jaxattn.networks import create
from jaxattn.networks.placement import Placement
from jaxattn.runtime import QUICK_COMPILE


class OwnGate(Gate):
    train: bool = False

    @nn.compact
    def gate(self, x):
        return nn.sigmoid(nn.BatchNorm(use_running_average=not self.train)(x))


class OwnModule(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        return nn.Conv(x.shape[-1], (3, 3))(nn.Dropout(0.5, deterministic=not train)(x))


NAMES = [name for name in ATTENTION if name != "none"]


@pytest.mark.parametrize("name", [*NAMES, "se+mhsa", f"{__name__}:OwnGate", f"{__name__}:OwnModule"])
def test_every_module_starts_as_the_identity_in_training_and_evaluation(name):
    module = functools.partial(blended(resolve(name, 2)), name="attention")
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 8, 8, 8)), jnp.float32)

    def run(x):
        variables = module().init(jax.random.key(0), x)
        rngs = {"dropout": jax.random.key(1)}
        trained, _ = module().apply(variables, x, train=True, rngs=rngs, mutable=True)
        return trained, module().apply(variables, x)

    for y in jax.jit(run, compiler_options=QUICK_COMPILE)(x):
        np.testing.assert_allclose(y, x, atol=1e-6)


@pytest.mark.parametrize("network", ["resnet20", "wrn-10-1"])
@pytest.mark.parametrize("name", ["sk", "mhsa"])
def test_it_never_stands_in_place_of_a_convolution(network, name):
    place = functools.partial(create, name, 4, (32, 32, 3), network)
    assert place().position == "conv2"
    assert place(placement=Placement(start="identity")).position == "residual"
    with pytest.raises(InputError, match="attention_start identity needs another position than conv2, where") as caught:
        place(placement=Placement(start="identity", position="conv2"))
    assert caught.value.setting == "attention_position"
