"""Rank and remove: test accuracy as more and more channels behind a gate are set to zero."""

import contextlib
import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Integer, UInt8

from jaxattn.data.augment import to_input
from jaxattn.data.spec import Spec
from jaxattn.explain import inference
from jaxattn.networks.network import Network
from jaxattn.runtime import KEEP_BARRIERS, jit
from jaxattn.types import ORDERS, Removal

STEPS = 8
MAX_SITES = 12  # if there are more, the last of each stage


def removal(
    model: Network,
    spec: Spec,
    variables: dict[str, Any],
    images: UInt8[np.ndarray, "N H W 3"],
    labels: Integer[np.ndarray, " N"],
) -> dict[str, Removal]:
    """Whether a gate identifies the channels that an image needs, for each site with a gate that weights channels.

    In each image, the channels with the lowest weights are set to zero in the output of the site; or those with the
    lowest mean activation in its input; or random channels, the same in all images. If a gate identifies the channels
    that matter, accuracy stays above that with random channels. Nothing is retrained or rescaled. Gates that follow one
    another at a site are multiplied; a module that puts channels in another order has no curve.

    Args:
        model, spec, variables: the network, its data set, and its variables.
        images: uint8 [N, H, W, 3].
        labels: the true classes.
    """
    if any(getattr(kind, "permutes_channels", False) for kind in _classes(model.attention)):
        return {}
    batches = list(inference.tested_batches(model, len(images)))
    sites = _gated(model, spec, variables, images[:1])
    if len(sites) > MAX_SITES:
        sites = list({site.stage: site for site in sites}.values())
    fractions, curves = np.linspace(0, 1, STEPS + 1), {}
    for number, site in enumerate(sites):

        def accuracy(order, fraction, number=number):
            choice = np.int32(number), np.int32(order), np.float32(fraction)
            run = functools.partial(_logits(model, spec, tuple(site.path for site in sites)), choice)
            return np.mean(inference.in_batches(run, batches, variables, images).argmax(axis=1) == labels)

        ends = accuracy(0, 0), accuracy(0, 1)  # the same in any order
        inner = [[accuracy(order, one) for one in fractions[1:-1]] for order in range(len(ORDERS))]
        curves[site.name] = Removal(np.array([[ends[0], *curve, ends[1]] for curve in inner]), fractions, len(images))
    return curves


def _classes(module):
    """The classes in a class, a partial of one, or several."""
    if isinstance(module, functools.partial):
        module = (module.func, *module.args, *module.keywords.values())
    return itertools.chain(*map(_classes, module)) if isinstance(module, tuple) else [module]


def _gated(model, spec, variables, images):
    """The sites with a gate that has a weight for each channel of its input."""
    gated = set()

    def note(path, gates, x, output):
        gated.update([path] if _by_channel(gates, x) else [])
        return output

    with _watched([site.path for site in model.sites()], note):
        jax.eval_shape(model.apply, variables, to_input(images, spec))
    return [site for site in model.sites() if site.path in gated]


@contextlib.contextmanager
def _watched(paths, change):
    """Replaces each site's output by `change(path, outermost gates, input, output)`."""
    gates, inside = [], []  # of the site; those that are being computed

    def intercept(call, args, kwargs, context):
        path, is_site = context.module.path, context.method_name == "__call__" and context.module.path in paths
        if is_site:
            gates.clear()
        if context.method_name == "gate":
            inside.append(path)
        output = call(*args, **kwargs)
        if context.method_name == "gate":
            inside.pop()
            gates.extend([] if inside else jax.tree.leaves(output))
        return change(path, gates, args[0], output) if is_site else output

    with nn.intercept_methods(intercept):
        yield


@functools.lru_cache(maxsize=8)
def _logits(model, spec, paths):
    """A function of a choice (number of a site, number of an order, fraction to remove), variables and images."""

    def run(choice, variables, x):
        number, order, fraction = choice

        def remove(path, gates, x, output):
            scores = _scores(gates, x)[order]
            rank = jnp.argsort(jnp.argsort(scores, axis=-1), axis=-1)
            removed = (number == paths.index(path)) & (rank < jnp.round(fraction * rank.shape[-1]))
            return jnp.where(removed[:, None, None, :], 0, output)

        with _watched(paths, remove):
            return model.apply(variables, to_input(x, spec))

    return jit(run, KEEP_BARRIERS)


def _by_channel(gates, x):
    """The gates that have a weight for each channel of x [B, H, W, C], with four axes."""
    four = [gate.reshape((1,) * (4 - gate.ndim) + gate.shape) for gate in gates]
    return [gate for gate in four if gate.shape[-1] == x.shape[-1] > 1]


def _scores(gates, x):
    """The values that rank channels in each of `ORDERS`: [O, B, C], from the input of a site [B, H, W, C]."""
    weights, shape = _by_channel(gates, x), (x.shape[0], x.shape[-1])
    gate = math.prod(jnp.broadcast_to(one.astype(jnp.float32).mean(axis=(1, 2)), shape) for one in weights)
    random = np.random.default_rng(0).permutation(shape[1])
    return jnp.stack([gate, x.astype(jnp.float32).mean(axis=(1, 2)), jnp.broadcast_to(random, shape)])
