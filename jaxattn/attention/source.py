"""A digest of the code of a user's own module: of its file and of all the user's files that it imports.

It covers the code that is in memory: a file is read when its class is first resolved, and again only after its module
is reloaded. It does not cover data that the code reads, what a C extension links, and modules whose names are computed.
"""

import dataclasses
import hashlib
import inspect
import sys
import types
from pathlib import Path
from typing import Any

from jaxattn.attention.source_files import add_files, is_installed

_CONSTANTS = (bool, int, float, complex, str, bytes, type(None))


def digest(cls: type, module: str) -> str:
    """The SHA-256 (hex) of the source of a class and of the user's files that its module imports, also indirectly.

    For an installed package, only its own files count. For a class that is not in a file, such as one defined in a
    notebook, it covers the source of the class and of everything that its methods refer to.

    Args:
        cls: a class.
        module: name of the module in which it was found.

    Raises:
        InputError: if a file cannot be read, or was edited after it was imported.
    """
    parts: dict[str, bytes] = {}
    if module == "__main__" and not _is_of_script(cls):
        _add_object(parts, cls.__name__, cls)
    else:
        add_files(parts, [module], module.partition(".")[0])
    sha = hashlib.sha256()
    for name in sorted(parts):
        sha.update(hashlib.sha256(f"{name}: ".encode() + parts[name]).digest())
    return sha.hexdigest()


def _is_of_script(cls: type) -> bool:
    """Whether a class of `__main__` is defined in its file; in a notebook, that file may be the kernel's."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    names = {Path(one.__code__.co_filename).resolve() for value in vars(cls).values() for one in _functions(value)}
    return file is not None and Path(file).resolve() in names


def _functions(value: Any) -> list[types.FunctionType]:
    """The functions in a method, property or decorated function, except those of installed packages."""
    names = "__func__", "func", "fget", "fset"  # of class methods, partials and cached properties, properties
    parts = [value, *(getattr(value, name, None) for name in names)]
    functions = []
    for part in parts:
        while part is not None:
            if isinstance(part, types.FunctionType) and not is_installed(part.__code__.co_filename):
                functions.append(part)
            part = getattr(part, "__wrapped__", None)  # noqa: PLW2901
    return functions


def _add_object(parts: dict[str, bytes], name: str, value: Any) -> None:
    """Adds the source of a class or function of `__main__`, or a constant, and what it refers to."""
    if name in parts:
        return
    if isinstance(value, types.ModuleType):
        add_files(parts, [value.__name__], "")
    elif isinstance(value, type) and not issubclass(value, type):
        if value.__module__ == "__main__":
            parts[name] = b"class"
            _add_class(parts, name, value)
        else:
            add_files(parts, [value.__module__], "")
    elif functions := _functions(value):
        for number, function in enumerate(functions):
            _add_function(parts, f"{name}{number or ''}", function)
    else:
        parts[name] = _constant(value)


def _add_class(parts: dict[str, bytes], name: str, cls: type) -> None:
    for base in cls.__bases__:
        if base is not object:
            _add_object(parts, base.__qualname__ if base.__module__ == "__main__" else base.__name__, base)
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    for field in fields:  # every Linen module is a dataclass
        for value in (field.default, field.default_factory):
            if value is not dataclasses.MISSING:
                _add_object(parts, f"{name}.{field.name}", value)
    for key, value in vars(cls).items():
        generated = any(function.__code__.co_filename == "<string>" for function in _functions(value))  # by dataclasses
        is_constant = isinstance(value, (*_CONSTANTS, tuple, list, dict)) and not key.startswith("__")
        if (_functions(value) and not generated) or is_constant:
            _add_object(parts, f"{name}.{key}", value)


def _add_function(parts: dict[str, bytes], name: str, function: types.FunctionType) -> None:
    if function.__module__ not in ("__main__", None) and function.__module__ in sys.modules:
        add_files(parts, [function.__module__], "")
        return
    code = function.__code__
    try:
        parts[name] = inspect.getsource(code).encode()
    except (OSError, TypeError):  # a function that a decorator generated has no source
        parts[name] = code.co_code + repr(code.co_consts).encode()
    for cell in function.__closure__ or ():
        value = cell.cell_contents if cell != types.CellType() else None
        if _functions(value) or isinstance(value, _CONSTANTS):
            _add_object(parts, f"{name}.<closure>.{getattr(value, '__qualname__', '')}", value)
    for one in sorted(_names(code)):
        if one in function.__globals__:
            _add_object(parts, one, function.__globals__[one])


def _names(code: types.CodeType) -> set[str]:
    """The names that a function, and the functions inside it, may read from the module."""
    return set(code.co_names).union(*(_names(one) for one in code.co_consts if isinstance(one, types.CodeType)))


def _constant(value: Any) -> bytes:
    """The bytes of a constant: its value, or its type if the value's text is not the same in every process."""
    if hasattr(value, "tobytes"):
        return value.tobytes()
    if isinstance(value, tuple | list):
        return b"".join(map(_constant, value))
    if isinstance(value, dict):
        return b"".join(_constant(one) for item in value.items() for one in item)
    return repr(value).encode() if isinstance(value, _CONSTANTS) else type(value).__qualname__.encode()
