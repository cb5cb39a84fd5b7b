"""The user's code that a run used: digests of attention modules and networks, and whether they may be imported."""

import sys
from pathlib import Path

from flax import linen as nn

from jaxattn.attention import source
from jaxattn.attention.resolve import import_class, is_own, own_modules
from jaxattn.config import Config
from jaxattn.errors import InputError

Code = dict[str, str]  # SHA-256 (hex) of the source of each class, by "package.module:Class"


def own_classes(config: Config) -> list[str]:
    """The attention modules and the network of a configuration that are not part of this package."""
    return own_modules(config.attention) + [config.network] * is_own(config.network)


def check_trusted(config: Config, folder: Path, trust_code: bool) -> None:
    """Checks that opening a folder imports no untrusted module.

    Modules of this package, and those that this process has already imported, are trusted.

    Args:
        config: the configuration in the folder.
        folder: the folder, for messages.
        trust_code: whether its modules may be imported.

    Raises:
        InputError: if one would be imported.
    """
    for name in own_classes(config):
        if not trust_code and name.partition(":")[0] not in sys.modules:
            what = "network" if name == config.network else "attention module"
            raise InputError(
                f"{folder} names the {what} {name}, whose code would run; allow that if you trust its author",
                "trust_code",
            )


def check_unchanged(recorded: Code, config: Config, folder: Path, accept_changed_code: bool) -> list[str]:
    """Checks that the user's modules are those that a run was trained with.

    Args:
        recorded: their digests when the run started; empty if an earlier version recorded none.
        config: configuration of the run.
        folder: the run folder.
        accept_changed_code: whether changed code may be used.

    Returns:
        A sentence for each module for which that is not certain.

    Raises:
        InputError: if the source of one has changed, and that was not accepted.
    """
    notes = []
    for name, digest in digests(config).items():
        if name not in recorded:
            notes.append(f"the code of {name} when it was trained was not recorded")
        elif recorded[name] != digest:
            if not accept_changed_code:
                raise InputError(
                    f"the code of {name} has changed since {folder} was trained with it; restore it, retrain in "
                    "another folder, or accept the changed code",
                    "accept_changed_code",
                )
            notes.append(f"the code of {name} has changed since it was trained (accepted)")
    return notes


def digests(config: Config) -> Code:
    """The SHA-256 (hex) of the source of each of the user's classes in a configuration (see `attention.source`).

    Args:
        config: configuration of the run.

    Raises:
        InputError: if one cannot be imported, or its code cannot be known.
    """
    code = {}
    for name in own_classes(config):
        import_class(name, nn.Module, "network" if name == config.network else "attention")
        module, class_name = name.split(":")
        code[name] = source.digest(getattr(sys.modules[module], class_name), module)
    return code
