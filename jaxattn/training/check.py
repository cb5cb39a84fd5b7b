"""Checks, before anything is trained, that a user's own module works in a training step and in evaluation."""

import contextlib
import inspect
import itertools
import re
from collections.abc import Iterator
from typing import Any

import flax.errors
import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxattn.errors import InputError, described
from jaxattn.networks.network import Network
from jaxattn.training.evaluation import BATCH, fill_of
from jaxattn.training.state import updated_collections
from jaxattn.tree import keys_of

NO_STATISTICS = {"params", "constants", "perturbations"}  # collections that training need not change


def check_network(model: Network, name: str, shape: tuple[int, int, int], batch_size: int) -> None:
    """Checks that a network with a user's own module can be trained and evaluated; only shapes are computed.

    Args:
        model: the network.
        name: of its attention, or of the network itself, for the message.
        shape: of an image, (H, W, 3).
        batch_size: images in a step.

    Raises:
        InputError: if no layer is declared, the module fails, has parameters that are no floats, asks for random
            numbers that no step provides, changes variables in evaluation, or behaves in training as in evaluation.
    """
    mode, evaluated = "training", list[str]()
    sizes = (1, batch_size, BATCH + fill_of(model))
    one, several, tested = (jax.ShapeDtypeStruct((size, *shape), jnp.float32) for size in sizes)

    def step(variables, batch):
        params, others = variables["params"], {name: one for name, one in variables.items() if name != "params"}

        def loss_of(params):
            rngs = {"dropout": jax.random.key(0)}
            logits, updated = model.apply({"params": params, **others}, batch, train=True, rngs=rngs, mutable=[*others])
            return logits.sum(), updated_collections(others, updated)

        return jax.grad(loss_of, has_aux=True)(params)[1]

    try:
        with _watched([], model):
            variables = jax.eval_shape(model.init, jax.random.key(0), one)
        _check_declared(model, variables["params"])
        with _watched(evaluated, model):
            evaluated += _frozen(step, variables, several)
        mode = "evaluation"
        jax.eval_shape(lambda *inputs: model.apply(*inputs, train=False), variables, tested)
    except InputError as error:
        raise InputError(f"{name}: {error}", error.setting or name.partition(" ")[0]) from error
    except (Exception, SystemExit, GeneratorExit) as error:  # a module may raise anything
        raise InputError(f"{name} fails in {mode}: {_reason(error)}", name.partition(" ")[0]) from error
    if evaluated:
        raise InputError(
            f"{name}: {evaluated[0]}, because the module is not told that it trains; give its __call__ "
            "(or its gate) an argument named train",
            "attention",
        )


def _check_declared(model: Network, params: Any) -> None:
    try:
        layers = model.layers()
    except NotImplementedError:
        layers = ()
    if not layers:
        raise InputError("it declares no layer that can be shown; return one or more from layers()", "network")
    for path, leaf in jax.tree.leaves_with_path(params):
        if not jnp.issubdtype(leaf.dtype, jnp.floating) or not leaf.size:
            name = "/".join(keys_of(path))
            raise InputError(
                f"parameters must be floating-point numbers, one or more, {name} is {leaf.dtype} {list(leaf.shape)}; "
                "keep others in a collection of another name"
            )


@contextlib.contextmanager
def _watched(evaluated: list[str], model: Network) -> Iterator[None]:
    """Adds a message for each of Flax's dropouts at a site that drops nothing; refuses unusable gates."""
    sites = [site.path for site in model.sites()]

    def watch(call, args, kwargs, context):
        module, within = context.module, "/".join(map(str, context.module.path))
        if context.method_name == "__call__" and any(module.path[: len(site)] == site for site in sites):
            rate = getattr(module, "rate", None) or getattr(module, "dropout_rate", None)
            given = inspect.signature(type(module).__call__).bind_partial(module, *args, **kwargs).arguments
            given_value = given.get("deterministic", getattr(module, "deterministic", None))
            if rate and isinstance(given_value, bool) and given_value:
                evaluated.append(f"in training, {within} is inactive")
        output = call(*args, **kwargs)
        if context.method_name == "gate" and args:
            for weights in jax.tree.leaves(output):
                _check_gate(weights, args[0], within)
        return output

    with nn.intercept_methods(watch):
        yield


def _check_gate(weights: Any, x: Any, name: str) -> None:
    """Checks that a method `gate` returns weights of its input, since they are plotted and knocked out as such."""
    if not hasattr(x, "shape"):
        return
    is_real = hasattr(weights, "dtype") and jnp.issubdtype(weights.dtype, jnp.floating)
    try:
        fits = len(x.shape) == 4 and jnp.broadcast_shapes(weights.shape, x.shape) == x.shape
    except (ValueError, AttributeError):
        fits = False
    if not (is_real and fits):
        about = f"{weights.dtype} {list(weights.shape)}" if hasattr(weights, "shape") else type(weights).__name__
        raise InputError(
            f"a gate must give real weights that broadcast to its input, a map [B, H, W, C]; that of {name} gives "
            f"{about}: give the method another name if it is not a gate"
        )


def _frozen(step: Any, variables: Any, images: Any) -> list[str]:
    """A message for each module that keeps statistics, none of which a step changes."""
    program, updated = jax.make_jaxpr(step, return_shape=True)(variables, images)
    unchanged: dict[str, bool] = {}
    for (path, leaf), output in zip(jax.tree.leaves_with_path(updated), program.jaxpr.outvars, strict=True):
        keys = itertools.takewhile(lambda key: isinstance(key, jax.tree_util.DictKey), path)  # then inside a variable
        collection, *module, _ = (str(key.key) for key in keys)
        if collection not in NO_STATISTICS and jnp.issubdtype(leaf.dtype, jnp.number):
            name = "/".join(module)
            unchanged[name] = unchanged.get(name, True) and output in program.jaxpr.invars
    return [f"training does not update the statistics of {name}" for name, is_unchanged in unchanged.items()
            if is_unchanged]  # fmt: skip


def _reason(error: BaseException) -> str:
    if isinstance(error, flax.errors.InvalidRngError):
        stream = re.search(r'PRNG for "([^"]*)"', str(error))
        return (
            f"it asks for random numbers {stream[1] if stream else 'of another stream'!r}; a training step provides "
            "only 'dropout', and evaluation none"
        )
    if isinstance(error, flax.errors.ModifyScopeVariableError):
        return "it changes its variables; it may do so only if its argument or field train is True"
    return described(error)
