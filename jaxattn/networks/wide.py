"""The control `wide:NAME`: the plain network, widened in its last stage to the parameters of one with attention."""

import functools

import jax
import jax.numpy as jnp

from jaxattn.attention.cost import parameters
from jaxattn.errors import InputError
from jaxattn.networks.network import Network

WIDE = "wide:"


def widened(network: Network, shape: tuple[int, int, int]) -> Network:
    """The plain network whose last stage is just wide enough for at least as many parameters as `network` has.

    Args:
        network: one with attention.
        shape: of an image, (H, W, 3).

    Raises:
        InputError: if its width cannot be chosen.
    """
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    if not network.widths:
        raise InputError(f"{type(network).__name__} cannot be widened: its field widths is empty", "attention")
    *first, last = network.widths

    def plain(channels):
        return network.clone(attention=None, widths=(*first, channels))

    @functools.cache
    def count(one):
        return parameters(jax.eval_shape(one.init, jax.random.key(0), image)["params"])

    missing = count(network) - count(plain(last))
    if missing <= 0:
        return plain(last)
    of_one_more = count(plain(last + 1)) - count(plain(last))  # each further one adds as many parameters, or more
    low, high = last, last + -(-missing // of_one_more)
    middle = high - 1
    while high - low > 1:
        low, high = (middle, high) if count(plain(middle)) < count(network) else (low, middle)
        middle = (low + high) // 2
    return plain(high)
