"""What a step and an evaluation ask of a module of the reader's own, checked before anything is trained."""

import re
from typing import Any

import flax.errors
import jax
import jax.numpy as jnp

from jaxattn.errors import InputError, first_line
from jaxattn.model import CNN


def check_network(model: CNN, attention: str, shape: tuple[int, int, int]) -> None:
    """Checks that a network with a module of the reader's own can be trained and evaluated; only shapes are computed.

    Args:
        model: the network.
        attention: the name of its attention, for the message.
        shape: of an image, (H, W, 3).

    Raises:
        InputError: where the module fails, asks for random numbers that no step provides, changes its variables in
            evaluation, or keeps statistics that training does not update.
    """
    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    mode = "training"

    def step(variables, images):
        names, rngs = [name for name in variables if name != "params"], {"dropout": jax.random.key(0)}
        return model.apply(variables, images, train=True, rngs=rngs, mutable=names)[1]

    try:
        variables = jax.eval_shape(model.init, jax.random.key(0), images)
        frozen = _frozen(step, variables, images)
        mode = "evaluation"
        jax.eval_shape(lambda variables, images: model.apply(variables, images, train=False), variables, images)
    except InputError:
        raise
    except Exception as error:  # a module may raise anything
        raise InputError(f"attention {attention} fails in {mode}: {_reason(error)}", "attention") from error
    if frozen:
        raise InputError(
            f"attention {attention}: training does not update the statistics of {frozen[0]}, since nothing tells the "
            "module that it trains; let its __call__ (or its gate) take train",
            "attention",
        )


def _frozen(step: Any, variables: Any, images: Any) -> list[str]:
    """The modules that keep statistics and none of whose statistics a step changes."""
    program, updated = jax.make_jaxpr(step, return_shape=True)(variables, images)
    unchanged: dict[str, bool] = {}
    for (path, _), output in zip(jax.tree.leaves_with_path(updated), program.jaxpr.outvars, strict=True):
        names = [str(key.key) for key in path]
        if names[0] == "batch_stats":
            module = "/".join(names[1:-1])
            unchanged[module] = unchanged.get(module, True) and output in program.jaxpr.invars
    return [module for module, is_unchanged in unchanged.items() if is_unchanged]


def _reason(error: Exception) -> str:
    if isinstance(error, flax.errors.InvalidRngError):
        stream = re.search(r'PRNG for "([^"]*)"', str(error))
        return (
            f"it asks for random numbers {stream[1] if stream else 'of another stream'!r}; a training step provides "
            "'dropout' alone, an evaluation none"
        )
    if isinstance(error, flax.errors.ModifyScopeVariableError):
        return "it changes its variables; let it do so only while it trains, as its argument or field train says"
    return f"{type(error).__name__}: {first_line(error)}"
