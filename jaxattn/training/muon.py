"""Optax's Muon, for dense layers, also over the positions of a map."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MuonDimensionNumbers, scale_by_muon

from jaxattn.errors import InputError
from jaxattn.networks.network import Path
from jaxattn.tree import keys_of


def muon(rate: optax.Schedule, weight_decay: float, channels: Mapping[Path, int]) -> optax.GradientTransformation:
    """Muon with decoupled decay, for kernels [C, F] of dense layers, or [H W C, F] whose input is a map, flattened.

    Nesterov momentum .6, then four Newton-Schulz iterations make the update of each position's [C, F] about
    orthogonal. Muon proper does this to the whole kernel; by position it takes a quarter of the multiply-adds.

    Args:
        rate: learning rate by step.
        weight_decay: multiplied by the rate, as in AdamW.
        channels: C of the kernels whose input is a map [H, W, C], by the path of their layers.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; momentum as in arXiv:2404.00498's code.
    """
    block = MuonDimensionNumbers(reduction_axis=1, output_axis=2)
    scale = scale_by_muon(
        ns_steps=4, beta=0.6, weight_dimension_numbers=lambda kernels: jax.tree.map(lambda _: block, kernels)
    )

    def split(kernels: Any) -> Any:
        return jax.tree.map_with_path(lambda path, kernel: _halves(_by_position(path, kernel, channels)), kernels)

    def update(updates, state, params=None):
        scaled, state = scale.update(split(updates), state)
        return jax.tree.map(lambda old, halves: jnp.concatenate(halves).reshape(old.shape), updates, scaled), state

    return optax.chain(
        optax.GradientTransformation(lambda params: scale.init(split(params)), update),
        optax.add_decayed_weights(weight_decay) if weight_decay else optax.identity(),
        optax.scale_by_learning_rate(rate),
    )


def _by_position(path, kernel, channels):
    """A kernel [P C, F] as [P, C, F], with P = 1 if its input is not a map."""
    *module, _ = keys_of(path)
    size = channels.get(tuple(module), len(kernel))
    if len(kernel) % size:
        raise InputError(
            f"hidden_channels must divide the rows of {'/'.join(module)}, which are {len(kernel)}, got {size}",
            "muon_rate",
        )
    return kernel.reshape(-1, size, kernel.shape[-1])


def _halves(blocks):
    """The blocks [P, C, F] of P positions as one or two arrays: a CPU computes each on one core, both in parallel."""
    half = len(blocks) // 2
    return [blocks[:half], blocks[half:]] if half else [blocks]


def with_muon(
    optimizer: optax.GradientTransformation,
    hidden: optax.GradientTransformation,
    chosen: Callable[[Any], Any],
) -> optax.GradientTransformation:
    """`hidden` for the parameters for which `chosen` is True, `optimizer` for all others."""

    def labels(params):
        return jax.tree.map(lambda is_chosen: "muon" if is_chosen else "other", chosen(params))

    return optax.partition({"muon": hidden, "other": optimizer}, labels)
