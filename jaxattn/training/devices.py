"""Data parallelism over the devices of all processes, by JAX's own partitioning.

A batch is sharded over the devices, everything else is replicated, and a jitted function computes what it would on one
device: batch statistics are of the whole batch. With one device, nothing here has any effect.
"""

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxattn.errors import InputError

AXIS = "batch"
_ONLY: contextvars.ContextVar[Any] = contextvars.ContextVar("only", default=None)


@contextlib.contextmanager
def only(device: jax.Device) -> Iterator[None]:
    """Within this context, in this thread, everything runs on one device, so that several runs can share a machine."""
    token = _ONLY.set(device)
    try:
        with jax.default_device(device):
            yield
    finally:
        _ONLY.reset(token)


def count() -> int:
    """The number of devices that share a batch."""
    return jax.device_count() if _ONLY.get() is None else 1


def check_batch(batch_size: int) -> None:
    """Checks that a batch can be sharded.

    Raises:
        InputError: if its size is not a multiple of the number of devices.
    """
    sharing = count()
    if batch_size % sharing:
        below = batch_size // sharing * sharing
        possible = " or ".join(str(size) for size in (below, below + sharing) if size)
        raise InputError(
            f"batch_size must be a multiple of the {sharing} devices, got {batch_size}; choose {possible}, or show JAX "
            "fewer devices (CUDA_VISIBLE_DEVICES, JAX_NUM_CPU_DEVICES)",
            "batch_size",
        )


def synchronise(results: Any) -> Any:
    """The results of a call; with several CPU devices, waits for them, so that calls do not overlap.

    The devices share the CPU's threads: a call that waits for all devices can forever hold threads that another call
    needs.
    """
    return jax.block_until_ready(results) if jax.default_backend() == "cpu" and count() > 1 else results


@functools.cache
def _mesh() -> Mesh:
    return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


def replicated() -> NamedSharding | None:
    """Replicated sharding; None on one device."""
    return NamedSharding(_mesh(), PartitionSpec()) if count() > 1 else None


def replicate(tree: Any) -> Any:
    """A tree of arrays [...], equal on every process, on all devices."""
    return _put(tree, replicated()) if count() > 1 else jax.device_put(tree, _ONLY.get())


def shard(rows: np.ndarray) -> jax.Array | np.ndarray:
    """Rows [..., B], equal on every process, with B sharded over the devices."""
    if count() == 1:
        return rows
    axes = (None,) * (rows.ndim - 1)
    return _put(rows, NamedSharding(_mesh(), PartitionSpec(*axes, AXIS)))


def _put(tree, sharding):
    def one(leaf):
        if getattr(leaf, "sharding", None) == sharding:
            return leaf
        leaf = np.asarray(leaf)
        return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

    return jax.tree.map(one, tree)
