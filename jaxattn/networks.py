"""Networks by the name of their attention, and the control that is widened instead."""

from typing import Any

import jax
import numpy as np

from jaxattn.attention import resolve
from jaxattn.attention.cost import parameters
from jaxattn.errors import InputError
from jaxattn.model import CNN

WIDE = "wide:"


def create(attention: str, reduction: int, shape: tuple[int, int, int], **options: Any) -> CNN:
    """The network with an attention module by name, or the plain one widened to match it ("wide:NAME").

    Args:
        attention: a name as `attention.resolve` takes it, or "wide:" and such a name.
        reduction: channels per hidden unit of the attention.
        shape: of an image, (H, W, 3).
        options: fields of `CNN`.

    Raises:
        InputError: where the attention is not known.
    """
    if not attention.startswith(WIDE):
        return CNN(attention=resolve(attention, reduction), **options)
    module = resolve(attention.removeprefix(WIDE), reduction)
    if module is None:
        raise InputError(f"{attention!r} names no module whose parameters to match; name one", "attention")
    return widened(CNN(attention=module, **options), shape)


def widened(model: CNN, shape: tuple[int, int, int]) -> CNN:
    """The control without attention: the plain network whose last block has just enough channels to match `model`.

    It has at least the parameters of `model`, with the fewest channels more.

    Args:
        model: a network with attention.
        shape: of an image, (H, W, 3).
    """
    image = np.zeros((1, *shape), np.float32)

    def count(network):
        return parameters(jax.eval_shape(network.init, jax.random.key(0), image)["params"])

    *first, last = model.widths
    plain = model.clone(attention=None)
    base = count(plain)
    per_channel = count(plain.clone(widths=(*first, last + 1))) - base
    missing = max(count(model) - base, 0)
    return plain.clone(widths=(*first, last + -(-missing // per_channel)))
