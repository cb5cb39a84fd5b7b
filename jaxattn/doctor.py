"""Prints what a bug report needs: versions, devices, data, caches, and whether a run folder can be locked.

python -m jaxattn.doctor
"""

import importlib.metadata
import os
import platform
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxattn import __version__, runtime
from jaxattn.cli.command import run_command
from jaxattn.cli.parser import Parser
from jaxattn.config import Config
from jaxattn.data import DATASETS, cache
from jaxattn.errors import first_line, one_line
from jaxattn.lock import exclusive_lock
from jaxattn.paths import local_path

PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "orbax-checkpoint", "safetensors", "matplotlib", "pillow",
    "tensorflow-datasets", "array-record",
)  # fmt: skip
SETTINGS = ("JAX_", "JAXATTN_", "XLA_", "TFDS_", "CUDA_VISIBLE_DEVICES", "LD_PRELOAD")


def parser() -> Parser:
    """The command line of `jaxattn doctor`."""
    parser = Parser(
        prog="jaxattn doctor", description="Print what a bug report needs. Folders are named only with --paths."
    )
    parser.add_argument("--out", metavar="DIR", default="runs", help="folder of runs to try (default: %(default)s)")
    parser.add_argument(
        "--data-dir", metavar="DIR", default=Config.data_dir, help="folder of data sets (default: %(default)s)"
    )
    parser.add_argument(
        "--paths", action="store_true", help="name the folders, and the values of environment variables"
    )
    return parser


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: if the command line cannot be used.
    """
    flags = parser().parse_args(arguments)
    data_dir, runs = local_path(flags.data_dir, "data_dir"), local_path(flags.out, "out")
    print(f"{'jaxattn':12} {__version__}, Python {platform.python_version()}")
    parts: dict[str, tuple[Callable[[], str], Any]] = {  # what asks JAX comes last: it may end the process
        "machine": (_machine, ""),
        "versions": (_versions, ""),
        "environment": (lambda: _environment(flags.paths), ""),
        "data": (lambda: _data(data_dir), data_dir),
        "cache": (_cache, runtime.cache_folder),
        "run folder": (lambda: "; ".join(_tried(runs)), runs.absolute()),
        "devices": (lambda: _devices(flags.paths), ""),
    }
    for name, (say, folder) in parts.items():
        try:
            text = say() + (f" ({folder() if callable(folder) else folder})" if flags.paths and folder else "")
        except Exception as error:  # errors belong in the report
            text = f"{type(error).__name__}" + (f": {first_line(error)}" if flags.paths else "")
        print(f"{name:12} {one_line(text)}", flush=True)


def _machine() -> str:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return f"{platform.platform()}, {os.cpu_count()} cores, {memory / 2**30:.1f} GiB of memory"


def _versions() -> str:
    installed = {one.name.lower().replace("_", "-"): one.version for one in importlib.metadata.distributions()}
    return ", ".join(f"{name} {installed.get(name, 'MISSING')}" for name in PACKAGES)


def _devices(message: bool) -> str:
    try:
        import jax

        kinds = Counter(f"{one.device_kind} ({one.platform})" for one in jax.devices())
        return ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    except Exception as error:  # plugins that do not fit their JAX raise many types, some with paths in the message
        return f"none: {type(error).__name__}" + (f": {first_line(error)}" if message else "")


def _environment(values: bool) -> str:
    names = sorted(name for name in os.environ if name.startswith(SETTINGS))
    return ", ".join(f"{name}={os.environ[name]}" if values else name for name in names) or "nothing set"


def _data(folder: Path) -> str:
    if folder.exists() and not folder.is_dir():
        return "CANNOT BE USED: it is not a folder"
    names = [name for name, dataset in DATASETS.items() if dataset.find(folder) is not None]
    return f"found {', '.join(names)}" if names else "nothing found; it would be downloaded"


def _cache() -> str:
    images = sum(entry.size for entry in cache.entries())
    programs = sum(path.stat().st_size for path in (runtime.cache_folder() / "compiled").rglob("*") if path.is_file())
    return f"images {images / 1e9:.2f} of {cache.limit() / 1e9:g} GB, compiled programs {programs / 1e9:.2f} GB"


def _tried(runs: Path) -> Iterator[str]:
    """What works in the folder of runs, or in the nearest folder above it that exists."""
    place = next(path for path in (runs, *runs.absolute().parents) if os.path.lexists(path))
    if not place.is_dir():
        yield "CANNOT BE USED: it, or the folder that should hold it, is not a folder"
        return
    try:
        with tempfile.TemporaryDirectory(prefix=".jaxattn-doctor-", dir=place) as name:
            folder = Path(name)
            (folder / "old").write_text("old")
            (folder / "new").write_text("new")
            (folder / "new").replace(folder / "old")
            yield f"rename {'works' if (folder / 'old').read_text() == 'new' else 'DOES NOT REPLACE'}"
            try:
                with exclusive_lock(folder), exclusive_lock(folder):
                    yield "locks DO NOT WORK: start no two processes in one folder"
            except BlockingIOError:
                yield "locks work"
    except OSError as error:
        yield f"CANNOT BE WRITTEN: {error.strerror or type(error).__name__}"


if __name__ == "__main__":
    run_command(main)
