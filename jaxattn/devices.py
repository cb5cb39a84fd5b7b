"""The devices and processes that a run is spread over: data parallel, by JAX's own partitioning.

A batch's rows are dealt out to the devices of all processes, everything else is whole on each, and a jitted function
gives what it would on one device: batch statistics are of the whole batch. With one device nothing here does anything.
"""

import functools
import os
import pickle
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxattn.errors import InputError

AXIS = "batch"


def connect() -> None:
    """Makes this process one of several, as JAX's environment says, before anything else of JAX is called.

    Raises:
        InputError: where the environment does not say it, or the others are not met.
    """
    names = {"num_processes": "JAX_NUM_PROCESSES", "process_id": "JAX_PROCESS_ID"}
    try:
        jax.distributed.initialize(**{key: int(os.environ[name]) for key, name in names.items() if name in os.environ})
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"--distributed cannot join the other processes: {str(error).splitlines()[0].rstrip('.')}. Set "
            "JAX_COORDINATOR_ADDRESS=host:port, JAX_NUM_PROCESSES and JAX_PROCESS_ID (0 is the coordinator), or start "
            "it by Slurm, Open MPI or on a TPU pod, where JAX finds them"
        ) from error


def check_batch(batch_size: int) -> None:
    """Finds out whether a batch can be dealt out.

    Raises:
        InputError: where it cannot.
    """
    count = jax.device_count()
    if batch_size % count:
        below = batch_size // count * count
        possible = " or ".join(str(size) for size in (below, below + count) if size)
        raise InputError(
            f"batch_size must be a multiple of the {count} devices, got {batch_size}; give --batch-size {possible}, or "
            "show JAX fewer devices (CUDA_VISIBLE_DEVICES, JAX_NUM_CPU_DEVICES)"
        )


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return jax.process_index() == 0


def settle(results: Any) -> Any:
    """The arrays [...] of a call, waited for where the next call may not begin before: several devices on one CPU.

    They share its threads: a call that waits for all devices can hold the ones that another waits for, for ever.
    """
    return jax.block_until_ready(results) if jax.default_backend() == "cpu" and jax.device_count() > 1 else results


@functools.cache
def _mesh() -> Mesh:
    return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


def whole() -> NamedSharding | None:
    """Of what stands whole on every device; None where there is one device."""
    return NamedSharding(_mesh(), PartitionSpec()) if jax.device_count() > 1 else None


def put(tree: Any) -> Any:
    """A tree of arrays [...], the same on every process, on all devices."""
    return _put(tree, whole()) if jax.device_count() > 1 else jax.device_put(tree)


def deal(rows: np.ndarray) -> jax.Array | np.ndarray:
    """Rows [..., B], the same on every process, with B dealt out to the devices."""
    if jax.device_count() == 1:
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


def share(function: Callable[[], Any]) -> Any:
    """What a function gives on the first process, on every process; no other calls it.

    Args:
        function: gives Python values and NumPy arrays.

    Raises:
        InputError: the function's, on every process; the first raises whatever the function does.
    """
    if jax.process_count() == 1:
        return function()
    from jax.experimental.multihost_utils import broadcast_one_to_all

    answer = failure = None
    if is_first():
        try:
            answer = True, function()
        except Exception as error:  # whatever it is, the others wait for an answer
            answer, failure = (False, str(error)), error
    data = np.frombuffer(pickle.dumps(answer), np.uint8)
    size = int(broadcast_one_to_all(np.int32(data.size)))
    data = np.resize(data, size)  # those of the others are not looked at
    done, value = pickle.loads(np.asarray(broadcast_one_to_all(data), np.uint8).tobytes())
    if failure is not None:
        raise failure
    if not done:
        raise InputError(value)
    return value


def agree(function: Callable[[], Any], identity: Callable[[Any], str]) -> Any:
    """What a function gives here, once it has given the same on every process.

    Args:
        function: what to call on each.
        identity: hexadecimal digits that tell results apart.

    Raises:
        InputError: where it raises one on any process, or gives other things there.
    """
    if jax.process_count() == 1:
        return function()
    from jax.experimental.multihost_utils import process_allgather

    value = error = None
    try:
        value = function()
    except Exception as caught:  # whatever it is, the others wait
        error = caught
    mark = -1 if error is not None else int(identity(value)[:7], 16)  # what an int32 holds
    marks = process_allgather(np.int32(mark)).ravel()
    if error is not None:
        raise error
    if marks.min() < 0:
        raise InputError(f"process {marks.argmin()} could not start, and says why; this one stops, too")
    if marks.min() < marks.max():
        raise InputError(
            "the processes must find the same data set, and found different ones; see --dataset, --data-dir"
        )
    return value
