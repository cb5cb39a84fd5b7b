"""The code that a run judged: digests of attention modules of the reader's own, and whether they may be imported."""

import ast
import contextlib
import dataclasses
import functools
import hashlib
import inspect
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

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

    It is over the file that defines the class, and the files of the same package or folder that it imports. Of a class
    that was defined in no file, such as in a notebook, it is over the source of its methods.

    Args:
        attention: a name that `attention.resolve` takes.

    Raises:
        InputError: where a module cannot be imported.
    """
    code = {}
    for name in own_modules(attention):
        resolve(name)  # imports it, or says why not
        module, class_name = name.split(":")
        code[name] = _digest(getattr(sys.modules[module], class_name), module)
    return code


@functools.cache  # by class: a file may be edited while the class that was read from it is in use
def _digest(cls: type, module: str) -> str:
    file = getattr(sys.modules[module], "__file__", None)
    if module == "__main__" and file is not None:  # a notebook's may be the file of its kernel
        functions = (inspect.unwrap(value) for value in vars(cls).values() if inspect.isfunction(value))
        if Path(file).resolve() not in {Path(function.__code__.co_filename).resolve() for function in functions}:
            file = None
    sha = hashlib.sha256()
    for part in _source(cls) if file is None else _files(Path(file).resolve(), module):
        sha.update(hashlib.sha256(part).digest())
    return sha.hexdigest()


def _source(cls: type) -> Iterator[bytes]:
    """The source of a class's methods, and its fields."""
    for name, value in sorted(vars(cls).items()):
        if inspect.isfunction(value):
            with contextlib.suppress(OSError):  # a method that a decorator made has no source
                yield f"{name}: {inspect.getsource(inspect.unwrap(value))}".encode()
    for field in dataclasses.fields(cls):  # every Linen module is a dataclass
        yield f"{field.name}={getattr(field.default, '__qualname__', field.default)}".encode()


def _files(file: Path, module: str) -> Iterator[bytes]:
    """Names and contents of the file of a module, and of those in its package or folder that it imports, step by step.

    Of an installed package, whose folder holds other packages too, only its own files count.
    """
    root = file.parents[module.count(".") + (file.name == "__init__.py")]
    installed = {Path(path).resolve() for path in (*site.getsitepackages(), *sysconfig.get_paths().values())}
    contents: dict[str, bytes] = {}
    left = [file.relative_to(root)]
    while left:
        path = left.pop()
        is_other = root in installed and path.parts[0].removesuffix(".py") != module.partition(".")[0]
        if path.as_posix() in contents or path.parts[0] == "jaxattn" or is_other:  # our version is recorded elsewhere
            continue
        contents[path.as_posix()] = (root / path).read_bytes()
        if path.suffix == ".py":
            left += (Path(one) for one in _imports(contents[path.as_posix()], path) if (root / one).is_file())
    for name in sorted(contents):
        yield f"{name}: ".encode() + contents[name]


def _imports(source: bytes, path: Path) -> Iterator[str]:
    """The files, relative to the root, that may be what a file imports."""
    for node in ast.walk(ast.parse(source)):
        names: list[list[str]] = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = path.parts[: len(path.parts) - node.level] if node.level else ()
            base = [*package, *(node.module.split(".") if node.module else ())]
            names = [base, *([*base, alias.name] for alias in node.names)]
        for parts in names:
            yield "/".join(parts) + ".py"
            yield from ("/".join([*parts[:i], "__init__.py"]) for i in range(1, len(parts) + 1))
