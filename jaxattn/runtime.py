"""Settings of the process and of XLA that make programs faster.

The commands, `fit` and `resume` call `tune()`; nothing else changes the settings of a caller.
"""

import ctypes
import functools
import importlib.metadata
import os
from pathlib import Path
from typing import Any

import platformdirs

from jaxattn.errors import InputError, first_line

# Compiler options for a CPU. For programs that run once, whose time is mostly compilation:
QUICK_COMPILE = {"xla_backend_optimization_level": 0}
# For programs that train and evaluate: jax 0.10 would otherwise fuse what `layers.winograd` keeps apart.
KEEP_BARRIERS = {"xla_disable_hlo_passes": "cse_barrier_expander"}


@functools.cache
def tune() -> None:
    """Applies all settings below, once in a process.

    That for the compiler counts only if XLA has compiled nothing yet in this process, that for the thread only if JAX
    has not looked for devices yet.

    Raises:
        InputError: where JAX has no device to run on.
    """
    compile_faster()
    _cache_compiled_programs()
    _run_in_calling_thread()
    _keep_freed_memory()
    require_device()


def require_device() -> None:
    """Has JAX look for its devices.

    Raises:
        InputError: where there is none of the platform that JAX is configured to use.
    """
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter where JAX is configured for a GPU that is not there
        reason = str(error).partition(" (set")[0] or "no such device here"
        wanted = f"JAX_PLATFORMS={jax.config.values['jax_platforms']}"
        raise InputError(f"JAX cannot use {wanted}: {first_line(reason)}; unset it, or name cpu") from error


def on_cpu(options: dict[str, Any]) -> dict[str, Any] | None:
    """Compiler options that are meant for a CPU, if the default backend is one; else None."""
    import jax

    return options if jax.default_backend() == "cpu" else None


def compile_faster() -> None:
    """Tells XLA to compile for the CPU without what costs time and does not make the training step faster.

    That is loop unrolling and SLP vectorisation, since its loops are vectorised already, and, in the versions of jaxlib
    that offer the choice, a second way of compiling fusions: without it a step is compiled in about half the time
    (`experiments/compiler`). It counts if XLA has compiled nothing yet. A user's own settings win.
    """
    flags = [os.environ.get("XLA_FLAGS", "")]
    if "xla_backend_extra_options" not in flags[0]:
        passes = "xla_cpu_disable_loop_unrolling,xla_cpu_disable_slp_vectorizer"
        flags.append(f"--xla_backend_extra_options={passes}")
    version = tuple(map(int, importlib.metadata.version("jaxlib").split(".")[:2]))
    if "xla_cpu_use_fusion_emitters" not in flags[0] and version < (0, 11):  # later, an unknown flag ends the process
        flags.append("--xla_cpu_use_fusion_emitters=false")
    os.environ["XLA_FLAGS"] = " ".join(flags).strip()


def cache_folder() -> Path:
    """The folder for what may be deleted at any time: the system's cache folder, on Linux `~/.cache/jaxattn`.

    Raises:
        RuntimeError: where there is no home directory.
    """
    folder = platformdirs.user_cache_path("jaxattn", appauthor=False)
    if not folder.is_absolute():
        raise RuntimeError("there is no home directory")
    return folder


def _cache_compiled_programs():
    """Keeps compiled programs on disk, so that the next start is faster. JAX's own settings win."""
    import jax

    if jax.config.jax_compilation_cache_dir is None:
        try:
            jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
        except RuntimeError:  # no home directory
            return


def _run_in_calling_thread():
    """Lets a single CPU device run a program in the thread that calls it, whose freed memory is kept: see below."""
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)


def _keep_freed_memory():
    """Lets glibc keep freed memory; else each step maps the pages of its temporaries anew.

    Thresholds do not do: glibc's largest for blocks that are mapped alone is 32 MB in some releases, and a step on many
    images has gigabytes of temporaries.

    Only the main thread gains: the arenas of other threads cannot hold such large blocks, whatever the thresholds say.
    One arena for all threads could, but threads that compile and decode at the same time would wait for each other.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, most_mapped = -1, -4  # from glibc's malloc.h
    if mallopt(most_mapped, 0):
        mallopt(trim_threshold, -1)  # never
