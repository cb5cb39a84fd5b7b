"""The code that a run judged: digests of attention modules of the reader's own, and whether they may be imported."""

import sys
from pathlib import Path

from jaxattn.attention import source
from jaxattn.attention.resolve import own_modules, resolve
from jaxattn.errors import InputError

Code = dict[str, str]  # SHA-256 (hex) of each module's source, by "package.module:Class"


def check_trusted(attention: str, folder: Path, trust_code: bool) -> None:
    """Checks that opening what a folder holds imports no module that nobody asked for.

    Modules of this package, and those that this process has imported already, need no trust.

    Args:
        attention: the name that the folder gives.
        folder: which names it.
        trust_code: whether its modules may be imported.

    Raises:
        InputError: where one would be imported.
    """
    for name in own_modules(attention):
        if not trust_code and name.partition(":")[0] not in sys.modules:
            raise InputError(
                f"{folder} names the attention module {name}, whose code would run; allow that if you trust its author",
                "trust_code",
            )


def check_unchanged(recorded: Code, attention: str, folder: Path, accept_changed_code: bool) -> list[str]:
    """Checks that modules of the reader's own are those that a run was trained with.

    Args:
        recorded: their digests when the run started; empty where an earlier version kept none.
        attention: the run's.
        folder: of the run.
        accept_changed_code: whether other code may be used all the same.

    Returns:
        A sentence for each module of which that is not certain.

    Raises:
        InputError: where the source of one has changed, and that was not accepted.
    """
    notes = []
    for name, digest in digests(attention).items():
        if name not in recorded:
            notes.append(f"the code of {name} when it was trained was not recorded")
        elif recorded[name] != digest:
            if not accept_changed_code:
                raise InputError(
                    f"the code of {name} has changed since {folder} was trained with it; restore it, train anew in "
                    "another folder, or accept the changed code",
                    "accept_changed_code",
                )
            notes.append(f"the code of {name} has changed since it was trained (accepted)")
    return notes


def digests(attention: str) -> Code:
    """The SHA-256 (hex) of the source of each module of the reader's own in an attention.

    What it is over, `attention.source` says.

    Args:
        attention: a name that `attention.resolve` takes.

    Raises:
        InputError: where a module cannot be imported, or its code cannot be known.
    """
    code = {}
    for name in own_modules(attention):
        resolve(name)  # imports it, or says why not
        module, class_name = name.split(":")
        code[name] = source.digest(getattr(sys.modules[module], class_name), module)
    return code
