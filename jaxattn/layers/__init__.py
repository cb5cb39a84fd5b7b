"""Layers: convolution, pooling, normalisation and dense products, some of them with platform-specific kernels.

For convolutions and dense products, accelerators use `jax.lax`'s own operations, and CPUs equivalent ones that XLA runs
faster there; `jax.lax.platform_dependent` chooses between them, in this folder only. The gradients of pooling and
normalisation are hand-written for every platform.
"""
