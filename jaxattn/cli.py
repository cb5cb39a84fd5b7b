"""What the `python -m jaxattn.<name>` shells share: flags from fields, one line for an error, exit codes."""

import argparse
import ast
import ctypes
import dataclasses
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, final

from jaxattn.config import RECIPES, Config, kind
from jaxattn.errors import InputError


@final
class Parser(argparse.ArgumentParser):
    """A parser that answers a wrong command line with one line."""

    def __init__(self, **options: Any):
        """Takes what `argparse.ArgumentParser` takes."""
        super().__init__(allow_abbrev=False, formatter_class=_wide, **options)

    def error(self, message: str) -> NoReturn:
        """Raises the message as an `InputError`."""
        raise InputError(f"{message}; see {self.prog} --help")

    def parse_args(self, arguments=None, namespace=None):
        """As argparse, but a flag that is not known is answered with those that are."""
        parsed, rest = self.parse_known_args(arguments, namespace)
        if rest:
            known = sorted(flag for flag in self._option_string_actions if flag.startswith("--"))
            raise InputError(f"unknown flag {rest[0]}; known are {', '.join(known)}")
        return parsed


def _wide(prog):
    return argparse.HelpFormatter(prog, max_help_position=34, width=110)


def names(module: str, registry: str) -> list[str]:
    """Keys of the dict `registry` as they are written in a module, which is read and not imported.

    Importing it would load JAX, and that takes several times as long as all the rest of `--help`.
    """
    for node in ast.parse(importlib.util.find_spec(module).loader.get_source(module)).body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if any(isinstance(target, ast.Name) and target.id == registry for target in targets):
            return [ast.literal_eval(key) for key in node.value.keys]
    raise LookupError(f"{module} has no dict {registry}")


def add_config_flags(parser: argparse.ArgumentParser, known: dict[str, Sequence[str]]) -> None:
    """A flag for each field of `Config`, in its groups; `known` lists the names that a field may take."""
    groups = {}
    for field in dataclasses.fields(Config):
        group = field.metadata["group"]
        groups.setdefault(group, parser.add_argument_group(group))
        names = field.metadata.get("choices") or known.get(field.name)
        text = field.metadata["help"] + (f": {', '.join(names)}" if names else "")
        if field.default is not None:
            text += f" (default: {field.default})"
        elif field.name in RECIPES["standard"]:
            text += f" (default: {', '.join(f'{recipe} {flags[field.name]}' for recipe, flags in RECIPES.items())})"
        groups[group].add_argument(
            f"--{field.name.replace('_', '-')}",
            type=kind(field),
            metavar="NAME" if names else {int: "N", float: "X", str: "TEXT"}[kind(field)],
            help=text.replace("%", "%%"),
            default=argparse.SUPPRESS,
            **({"nargs": "?", "const": "se"} if field.name == "attention" else {}),
        )


def shell(main: Callable[[list[str]], None]) -> NoReturn:
    """Runs `main` on the command line and exits: 0 done, 2 wrong input (one line), 130 or 143 stopped."""
    signal.signal(signal.SIGTERM, _terminate)
    if hasattr(sys.stdout, "reconfigure"):  # a notebook's has not
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text
    try:
        main(sys.argv[1:])
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except _Terminated:
        sys.exit(128 + signal.SIGTERM)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(0)


@final
class _Terminated(KeyboardInterrupt):
    """SIGTERM: stops a run as Ctrl-C does."""


def _terminate(signum, frame):
    raise _Terminated


def tune_process() -> None:
    """Settings of this process that make training faster and change nothing else."""
    leave_out_slow_passes()
    _keep_compiled_programs()
    _keep_pages()


def leave_out_slow_passes() -> None:
    """Has XLA compile for the CPU without two passes, from the next program on, if it has compiled none yet.

    Unrolling of loops and the search for vectors in straight code take a part of the time that the step needs to
    compile, and the step, whose loops are vectors already, is as fast without. What `XLA_FLAGS` says itself wins.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_backend_extra_options" not in flags:
        passes = "xla_cpu_disable_loop_unrolling,xla_cpu_disable_slp_vectorizer"
        os.environ["XLA_FLAGS"] = f"{flags} --xla_backend_extra_options={passes}".lstrip()


def _keep_compiled_programs():
    """Compiled programs stay on disk, so that the next start is faster; JAX's own settings win."""
    import jax

    if jax.config.jax_compilation_cache_dir is None:
        cache = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(Path(cache, "jaxattn", "compiled")))


def _keep_pages():
    """glibc keeps freed memory of up to a gigabyte; else each step faults the pages of its temporaries in anew.

    In one arena: those of threads hold no block as large, and map it anew whatever the thresholds say.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, mmap_threshold, arena_max = -1, -3, -8  # from glibc's malloc.h
    mallopt(arena_max, 1)
    if mallopt(mmap_threshold, 1 << 30) or mallopt(mmap_threshold, 1 << 25):  # some releases take no more than 32 MB
        mallopt(trim_threshold, 1 << 30)
