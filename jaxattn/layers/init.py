"""Layers initialised as in PyTorch."""

import math

import jax
from flax import linen as nn


def uniform(fan_in: int) -> nn.initializers.Initializer:
    """Draws from U(-1/sqrt(fan_in), 1/sqrt(fan_in)): PyTorch's default for dense and convolution layers."""
    bound = 1 / math.sqrt(fan_in)
    return lambda key, shape, dtype=float: jax.random.uniform(key, shape, dtype, -bound, bound)


def dense(features: int, inputs: int, **options) -> nn.Dense:
    """`nn.Dense` from [..., inputs] to [..., features], initialised as `torch.nn.Linear` is."""
    return nn.Dense(features, kernel_init=uniform(inputs), bias_init=uniform(inputs), **options)


def conv(features: int, inputs: int, size: int, **options) -> nn.Conv:
    """`nn.Conv` of size x size from [..., inputs] to [..., features], initialised as `torch.nn.Conv2d` is."""
    init = uniform(inputs * size * size)
    return nn.Conv(features, (size, size), kernel_init=init, bias_init=init, **options)
