"""Layers: convolution, pooling, normalisation and dense products, some of them with platform-specific kernels.

For convolutions and dense products, accelerators get `jax.lax`'s own operations, CPUs get equal ones that XLA runs
faster there; `jax.lax.platform_dependent` chooses, in this folder and nowhere else. The gradients of pooling and
normalisation are written out for every platform.
"""
