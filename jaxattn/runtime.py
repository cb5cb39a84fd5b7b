"""Settings of the process and of XLA that make programs faster.

The commands, `fit` and `resume` call `tune()`; nothing else changes a caller's settings.
"""

import ctypes
import functools
import importlib.metadata
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import platformdirs

from jaxattn.errors import InputError, first_line

# Compiler options for a CPU. For programs that run once, whose time is mostly compilation:
QUICK_COMPILE = {"xla_backend_optimization_level": 0}
# For programs that train and evaluate: jax 0.10 would otherwise fuse what `layers.winograd` keeps apart.
KEEP_BARRIERS = {"xla_disable_hlo_passes": "cse_barrier_expander"}
# These versions of jaxlib keep a packed copy of a large matrix that a program multiplies by, under its address, and use
# it for another matrix that is later stored there, even another network's. With XNNPACK off, no copy is kept.
STALE_MATRICES = (0, 7, 2), (0, 8, 2)  # from the first up to, but without, the second


@functools.cache
def tune() -> None:
    """Applies all settings below, once in a process.

    The compiler's take effect only if XLA has compiled nothing yet in this process, the thread's only if JAX has not
    looked for devices yet.

    Raises:
        InputError: if JAX has no device to run on.
    """
    compile_faster()
    _cache_compiled_programs()
    _run_in_calling_thread()
    _keep_freed_memory()
    require_device()


def require_device() -> None:
    """Makes JAX look for its devices.

    Raises:
        InputError: if there is none of the platform that JAX is configured to use.
    """
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter if JAX is configured for a GPU that is missing
        reason = str(error).partition(" (set")[0] or "no such device here"
        wanted = f"JAX_PLATFORMS={jax.config.values['jax_platforms']}"
        raise InputError(f"JAX cannot use {wanted}: {first_line(reason)}; unset it, or name cpu") from error


def jit(function: Callable, cpu: Mapping[str, Any] = MappingProxyType({}), **options: Any) -> Any:
    """`jax.jit`, with options that keep some versions of jaxlib from computing wrong products; makes all programs.

    Args:
        function: what to compile.
        cpu: compiler options, if the default backend is a CPU; else they are ignored.
        options: the others of `jax.jit`.
    """
    import jax

    if jax.default_backend() == "cpu":
        chosen = {**({"xla_cpu_use_xnnpack": False} if _keeps_stale_matrices() else {}), **cpu}
        options |= {"compiler_options": chosen} if chosen else {}
    return jax.jit(function, **options)


def _keeps_stale_matrices():
    first, end = STALE_MATRICES
    return first <= _jaxlib_version() < end


def _jaxlib_version():
    return tuple(int(re.match(r"\d*", part)[0] or 0) for part in importlib.metadata.version("jaxlib").split(".")[:3])


def compile_faster() -> None:
    """Turns off what costs XLA time when it compiles for the CPU and does not make the training step faster.

    That is loop unrolling and SLP vectorisation, since its loops are vectorised already, and, in the versions of jaxlib
    that offer the choice, a second way of compiling fusions: without it a step is compiled in about half the time
    (`experiments/compiler`). It takes effect if XLA has compiled nothing yet. A user's own settings win.
    """
    flags = [os.environ.get("XLA_FLAGS", "")]
    if "xla_backend_extra_options" not in flags[0]:
        passes = "xla_cpu_disable_loop_unrolling,xla_cpu_disable_slp_vectorizer"
        flags.append(f"--xla_backend_extra_options={passes}")
    if "xla_cpu_use_fusion_emitters" not in flags[0] and _jaxlib_version() < (0, 11):  # later, an unknown flag is fatal
        flags.append("--xla_cpu_use_fusion_emitters=false")
    if "xla_cpu_use_xnnpack" not in flags[0] and _keeps_stale_matrices():  # for what a caller compiles
        flags.append("--xla_cpu_use_xnnpack=false")
    os.environ["XLA_FLAGS"] = " ".join(flags).strip()


def cache_folder() -> Path:
    """The folder for what may be deleted at any time: the system's cache folder, on Linux `~/.cache/jaxattn`.

    Raises:
        RuntimeError: if there is no home directory.
    """
    folder = platformdirs.user_cache_path("jaxattn", appauthor=False)
    if not folder.is_absolute():
        raise RuntimeError("there is no home directory")
    return folder


def _cache_compiled_programs():
    """Keeps compiled programs on disk, so that the next start is faster. JAX's own settings win.

    Each number of cores has its own folder: a program compiled for one core uses one on any machine, and JAX does not
    distinguish such programs.
    """
    import jax

    if jax.config.jax_compilation_cache_dir is None:
        try:
            jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled" / f"{usable_cores()}-cores"))
        except RuntimeError:  # no home directory
            return


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_in_calling_thread():
    """Lets a single CPU device run programs in the calling thread, whose freed memory is kept (see below)."""
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)


def _keep_freed_memory():
    """Makes glibc keep freed memory; otherwise each step maps the pages of its temporaries again.

    Higher thresholds are not enough: in some releases glibc's largest for separately mapped blocks is 32 MB, and a step
    on many images has gigabytes of temporaries.

    Only the main thread gains: the arenas of other threads cannot hold such large blocks, whatever the thresholds are.
    One arena for all threads could, but threads that compile and decode at the same time would wait for each other.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, most_mapped = -1, -4  # from glibc's malloc.h
    if mallopt(most_mapped, 0):
        mallopt(trim_threshold, -1)  # never
