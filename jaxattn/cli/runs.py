"""What the commands that open runs share: their flags, and how a run is loaded."""

import argparse
import os
from typing import TYPE_CHECKING

from jaxattn import runtime
from jaxattn.data import cache

if TYPE_CHECKING:
    from jaxattn.runs.run import Run

CODE_FLAGS = {
    "trust_code": "import the module, network or data set of your own that a run names, which runs its code; only for "
    "runs whose author you trust",
    "accept_changed_code": "use a module of your own whose code has changed since training; every page says so",
}


def add_code_flags(parser: argparse._ActionsContainer) -> None:
    """Adds the flags that say which code may be used."""
    for name, text in CODE_FLAGS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=text)


def add_cache_flag(parser: argparse._ActionsContainer) -> None:
    """Adds the flag that limits the cache of images."""
    help = f"gigabytes that the cache of read images may have (default: {cache.LIMIT}, else {cache.DEFAULT_LIMIT:g})"
    parser.add_argument("--cache-limit", metavar="GB", help=help)


def limit_cache(gigabytes: str | None) -> None:
    """Sets the limit for this process and those that it starts; None leaves it as it is.

    Raises:
        InputError: if it is not a size.
    """
    if gigabytes is not None:
        os.environ[cache.LIMIT] = gigabytes
        cache.limit()


def add_weights_flag(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that says which epoch's weights are used."""
    parser.add_argument("--weights", metavar="WHICH", default="tested", help="best, last or tested (default: tested)")


def load(folder: str, flags: argparse.Namespace) -> "Run":
    """The run in a folder, with the weights that the flags choose and the code that they allow.

    Raises:
        InputError: as `load_run`.
    """
    runtime.tune()
    from jaxattn.runs.run import load_run

    return load_run(
        folder,
        getattr(flags, "weights", "tested"),
        trust_code=flags.trust_code,
        accept_changed_code=flags.accept_changed_code,
    )
