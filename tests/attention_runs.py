"""One compiled run of each attention module, shared by the tests."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxattn.attention import ATTENTION, resolve
from jaxattn.attention.mode import takes
from jaxattn.runtime import QUICK_COMPILE

# By channel, by position, both, several gates, none, self-attention, state of its own, frozen, channels in another
# order, weights above 1, a chain.
KINDS = ("se", "spatial", "cbam", "gc", "mhsa", "sk", "triplet", "random", "shuffle", "gct", "channel+spatial")
NAMES = [name for name, module in ATTENTION.items() if module is not None]
SHAPE = (3, 5, 7, 8)  # uneven, odd and not square; three images, so that no statistic is of a mere pair
REDUCTION = 4
ANY = (-float("inf"), float("inf"))
RANGES = {"gct": (0, 2), "grn": ANY, "grn-code": ANY}  # of weights, where it is not 0 to 1


class Run(NamedTuple):
    """The output of a module, its gates, and the gradients of sum(weights * y)."""

    y: jax.Array
    gates: dict
    x_gradient: jax.Array
    gradients: dict


def modes(name):
    """The values of `train` to test: (False, True) where a module takes that, else (False,)."""
    return (False, True) if takes(ATTENTION[name], "train") else (False,)


def make(name, train=False):
    return resolve(name, REDUCTION)(**({"train": True} if train else {}))


def is_gate(_, method):
    return method == "gate"


def randoms(seed, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@functools.cache
def variables(name):
    """Variables drawn at random, so that no initial zero or one hides an error."""
    shapes = jax.eval_shape(make(name).init, jax.random.key(0), jnp.zeros(SHAPE))
    random = np.random.default_rng(1)

    def draw(path, leaf):
        positive = path[-1].key == "var"
        drawn = random.uniform(0.5, 2, leaf.shape) if positive else random.normal(0, 0.5, leaf.shape)
        return drawn.astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def gates_by_path(intermediates):
    """Captured gates by the path of their module: {"channel/gate": array}."""
    flat = jax.tree_util.tree_flatten_with_path(intermediates, is_leaf=lambda leaf: isinstance(leaf, tuple))[0]
    return {"/".join(key.key for key in path): value[0] for path, value in flat}


def apply(name, train, values, x):
    """Output and captured gates."""
    y, updated = make(name, train).apply(
        *jax.device_put((values, x)), mutable=["intermediates", "batch_stats"], capture_intermediates=is_gate
    )
    return y, gates_by_path(updated.get("intermediates", {}))


@functools.cache
def program(name):
    """Compiled `(variables, x, weights) -> {train: Run}`."""

    def one(train, values, x, weights):
        rest = {key: value for key, value in values.items() if key != "params"}

        def forward(params, x):
            y, gates = apply(name, train, {"params": params} | rest, x)
            return jnp.sum(weights * y), (y, gates)

        gradient = jax.value_and_grad(forward, argnums=(0, 1), has_aux=True)
        (_, (y, gates)), (gradients, x_gradient) = gradient(values.get("params", {}), x)
        return Run(y, gates, x_gradient, gradients)

    return jax.jit(
        lambda *arguments: {train: one(train, *arguments) for train in modes(name)}, compiler_options=QUICK_COMPILE
    )


@functools.cache
def runs(name):
    """The module on a random map: {train: Run}."""
    return program(name)(variables(name), randoms(2), randoms(3))
