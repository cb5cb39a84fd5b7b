"""The processes that one run is spread over: which of them writes, and how they agree."""

import contextlib
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxattn.errors import InputError

END = "jaxattn/ended_early"  # a key of JAX's coordination service, which all processes reach
INTERVAL = 0.5  # seconds between reads of that key
GRACE = 1.0  # seconds in which a process may end by itself, with its own error
PATIENCE = 5.0  # seconds in which it may disconnect from the others


@contextlib.contextmanager
def connected(distributed: bool = True) -> Iterator[None]:
    """The context in which this process is joined with the others; if it ends early in one process, all end.

    The others would wait for that process forever: for its part of a sum, and at their own end.

    Args:
        distributed: whether there are other processes; if not, nothing is done.

    Raises:
        InputError: as `connect`.
    """
    if not distributed:
        yield
        return
    connect()
    ending = threading.Event()
    watch = threading.Thread(target=_end_with_the_others, args=(ending,), daemon=True)
    watch.start()
    try:
        yield
    except BaseException:
        ending.set()
        with contextlib.suppress(Exception):  # another process ended, too
            _client().key_value_set(END, str(jax.process_index()))
        raise
    finally:
        ending.set()
        watch.join()  # a thread that waits within JAX while Python ends would abort the process


def _end_with_the_others(ending):
    """Waits until a process ends early, then ends this one, whose main thread may be waiting for that one."""
    number = None
    while number is None and not ending.wait(INTERVAL):
        with contextlib.suppress(Exception):  # no process has ended early
            number = _client().blocking_key_value_get(END, 100)  # ms
    if ending.wait(GRACE):
        return
    print(f"process {number} stopped; this one stops, too", file=sys.stderr, flush=True)
    leave = threading.Timer(PATIENCE, os._exit, args=(1,))
    leave.daemon = True
    leave.start()
    with contextlib.suppress(Exception):
        _client().shutdown()  # lets the other process exit, which waits until all disconnect
    os._exit(1)


def _client():
    from jax._src import distributed  # JAX has no public name for it

    return distributed.global_state.client


def connect() -> None:
    """Joins the other processes as JAX's environment variables say; must come before any other call of JAX.

    Raises:
        InputError: if the environment does not say how, or the others cannot be reached.
    """
    if "jax_enable_preemption_service" in jax.config.values:  # it would intercept SIGTERM
        jax.config.update("jax_enable_preemption_service", False)
    names = {"num_processes": "JAX_NUM_PROCESSES", "process_id": "JAX_PROCESS_ID"}
    try:
        numbers: dict[str, Any] = {key: int(os.environ[name]) for key, name in names.items() if name in os.environ}
        jax.distributed.initialize(**numbers)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"cannot join the other processes: {str(error).splitlines()[0].rstrip('.')}. Set "
            "JAX_COORDINATOR_ADDRESS=host:port, JAX_NUM_PROCESSES and JAX_PROCESS_ID (0 is the coordinator), or start "
            "by Slurm, Open MPI or on a TPU pod, where JAX finds them",
            "distributed",
        ) from error


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return jax.process_index() == 0


def broadcast(function: Callable[[], Any]) -> Any:
    """Calls a function on the first process only, and returns its value on every process.

    Args:
        function: returns Python values and NumPy arrays.

    Raises:
        InputError: the function's, on every process; the first raises whatever the function raises.
    """
    if jax.process_count() == 1:
        return function()
    from jax.experimental.multihost_utils import broadcast_one_to_all

    answer = failure = None
    if is_first():
        try:
            answer = True, function()
        except Exception as error:  # whatever it is, the others wait for an answer
            failure = error
            answer = False, error if isinstance(error, InputError) else InputError(str(error))
    data = np.frombuffer(pickle.dumps(answer), np.uint8)
    size = int(broadcast_one_to_all(np.int32(data.size)))
    data = np.resize(data, size)  # those of the others are ignored
    done, value = pickle.loads(np.asarray(broadcast_one_to_all(data), np.uint8).tobytes())
    if failure is not None:
        raise failure
    if not done:
        raise value
    return value


def agree(function: Callable[[], Any], identity: Callable[[Any], str]) -> Any:
    """The value of a function on this process, once every process has the same value.

    Args:
        function: called on each process.
        identity: hexadecimal digits that differ where values differ.

    Raises:
        InputError: if the function fails on any process, or values differ.
    """
    if jax.process_count() == 1:
        return function()
    from jax.experimental.multihost_utils import process_allgather

    value = error = None
    try:
        value = function()
    except Exception as caught:  # whatever it is, the others wait
        error = caught
    mark = -1 if error is not None else int(identity(value)[:7], 16)  # fits an int32
    marks = process_allgather(np.int32(mark)).ravel()
    if error is not None:
        raise error
    if marks.min() < 0:
        raise InputError(f"process {marks.argmin()} could not start, as its output says; this one stops, too")
    if marks.min() < marks.max():
        raise InputError("all processes must load the same data set, and they found different ones", "data_dir")
    return value
