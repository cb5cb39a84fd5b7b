"""A module of the reader's own is told whether it trains, by whatever name it asks for that."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxattn import CNN
from jaxattn.attention import Gate
from jaxattn.attention.chain import Chain
from jaxattn.training.check import check_network


def norm_of(x, evaluating):
    return x * nn.sigmoid(nn.BatchNorm(use_running_average=evaluating)(x))


class TrainArgument(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = False):
        return norm_of(x, not train)


class TrainingRequired(nn.Module):
    @nn.compact
    def __call__(self, x, *, training):
        return norm_of(x, not training)


class IsTraining(nn.Module):
    @nn.compact
    def __call__(self, x, is_training=False):
        return norm_of(x, not is_training)


class RunningAverageArgument(nn.Module):
    @nn.compact
    def __call__(self, x, use_running_average=True):
        return norm_of(x, use_running_average)


class DeterministicField(nn.Module):
    deterministic: bool = True

    @nn.compact
    def __call__(self, x):
        return norm_of(x, self.deterministic)


class TrainingField(nn.Module):
    training: bool = False

    @nn.compact
    def __call__(self, x):
        return norm_of(x, not self.training)


class FieldOrArgument(nn.Module):
    """As Flax's own modules: given in one of two places, never in both."""

    use_running_average: bool | None = None

    @nn.compact
    def __call__(self, x, use_running_average: bool | None = None):
        return norm_of(x, nn.merge_param("average", self.use_running_average, use_running_average))


class GateArgument(Gate):
    @nn.compact
    def gate(self, x, train=False):
        return nn.sigmoid(nn.BatchNorm(use_running_average=not train)(x))


class GateField(Gate):
    train: bool = False

    @nn.compact
    def gate(self, x):
        return nn.sigmoid(nn.BatchNorm(use_running_average=not self.train)(x))


TOLD = [
    TrainArgument, TrainingRequired, IsTraining, RunningAverageArgument, DeterministicField, TrainingField,
    FieldOrArgument, GateArgument, GateField,
]  # fmt: skip


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("in_chain", [False, True])
@pytest.mark.parametrize("module", TOLD)
def test_a_module_is_told_that_it_trains_by_whatever_name_it_asks_for(module, in_chain, position):
    attention = functools.partial(Chain, (module, module)) if in_chain else module
    model = CNN(widths=(4,), hidden=8, attention=attention, attention_position=position)
    check_network(model, "own", (8, 8, 3), 2)
    x = jnp.asarray(np.random.default_rng(0).normal(1, 2, (2, 8, 8, 3)), jnp.float32)
    variables = model.init(jax.random.key(0), x)

    def apply(train):
        rngs = {"dropout": jax.random.key(0)} if train else None
        return model.apply(variables, x, train=train, rngs=rngs, mutable=["batch_stats"])[1]["batch_stats"]

    old = variables["batch_stats"]
    for train, are_equal in ((True, False), (False, True)):
        for one, other in zip(jax.tree.leaves(old), jax.tree.leaves(apply(train)), strict=True):
            assert np.array_equal(one, other) == are_equal
