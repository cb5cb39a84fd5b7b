"""The files of a user's own modules and of what they import, as they were when they were imported."""

import ast
import functools
import importlib.machinery
import os
import site
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxattn.errors import InputError

_STARTED = time.time()
_READ: dict[str, tuple[Any, bytes]] = {}  # by module: its spec, which reloading replaces, and its file's contents


def add_files(parts: dict[str, bytes], names: list[str], package: str) -> None:
    """Adds the user's modules of these names, and what they import; of installed modules, only those of one package.

    Args:
        parts: contents by name; the files are added to it.
        names: of modules.
        package: an installed package whose own files count.

    Raises:
        InputError: if a file cannot be read, or was edited after it was imported.
    """
    left, seen = list(names), {""}
    while left:
        name = left.pop()
        top = name.partition(".")[0]
        if name in seen or top == "jaxattn":  # our version is recorded elsewhere
            continue
        seen.add(name)
        spec = _spec(name)
        if spec is None or not spec.has_location or (top != package and is_installed(spec.origin)):
            continue
        is_package, content = spec.submodule_search_locations is not None, _content(name, spec)
        path = Path(spec.origin).name if name == "__main__" else name.replace(".", "/") + "/__init__.py" * is_package
        parts[path + ".py" * (not path.endswith(".py"))] = content
        within = name if is_package else name.rpartition(".")[0]
        left += _imports(content, (sys.modules[name].__package__ or "") if name == "__main__" else within)


def _spec(name: str) -> Any:
    """The spec of a module, found without importing it."""
    path, spec = None, None
    for end in [i for i, letter in enumerate(name) if letter == "."] + [len(name)]:
        module = sys.modules.get(name[:end])
        file = getattr(module, "__file__", None)
        if module is not None:
            spec = getattr(module, "__spec__", None)
            if spec is None and file is not None:  # a script
                spec = importlib.machinery.ModuleSpec(name, importlib.machinery.SourceFileLoader(name, file))
                spec.origin, spec.has_location = file, True
        else:
            spec = _find(name[:end], path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
        if path is None and end < len(name):
            return None
    return spec


def _find(name: str, path: Any) -> Any:
    try:
        return importlib.machinery.PathFinder.find_spec(name, path)
    except (ImportError, ValueError):
        return None


def _content(name: str, spec: Any) -> bytes:
    module, kept = sys.modules.get(name), _READ.get(name)
    imported = getattr(module, "__spec__", None) or module
    if module is not None and kept is not None and kept[0] is imported:
        return kept[1]
    if module is not None and _is_edited(spec):
        raise InputError(
            f"{spec.origin} was edited after {name} was imported, so the code that runs cannot be recorded; restart "
            "Python, or reload the module"
        )
    try:
        content = spec.loader.get_data(spec.origin)
    except (OSError, AttributeError) as error:
        raise InputError(f"cannot read {spec.origin}, whose digest a run records: {error}") from error
    if module is not None:
        _READ[name] = imported, content
    return content


def _is_edited(spec: Any) -> bool:
    """Whether a file was edited after it was compiled, while this process was running."""
    try:
        with open(spec.cached or "", "rb") as file:
            header = file.read(16)
        about = os.stat(spec.origin)
    except OSError:
        return False
    compiled, size = (int.from_bytes(header[start : start + 4], "little") for start in (8, 12))
    by_time = header[4:8] == b"\0\0\0\0"
    is_same = (compiled, size) == (int(about.st_mtime), about.st_size)
    return by_time and not is_same and about.st_mtime > _STARTED


def is_installed(origin: str) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    return any(Path(origin).is_relative_to(folder) for folder in _installed())


@functools.cache
def _installed() -> set[str]:
    paths = [sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages()]
    return {*paths, *map(os.path.realpath, paths)}


def _imports(source: bytes, package: str) -> Iterator[str]:
    """The names of the modules that a file of a package may import; none if it is not Python."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in nodes:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute("." * node.level + (node.module or ""), package)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            names = _imported(node, package)
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _imported(call: ast.Call, package: str) -> list[str]:
    """The module that a call of `import_module` names, if constant; a relative one also within the package it gives."""
    given = [*zip(("name", "package"), call.args, strict=False), *((one.arg, one.value) for one in call.keywords)]
    texts = {key: part.value for key, part in given if isinstance(part, ast.Constant) and isinstance(part.value, str)}
    name = texts.get("name", "")
    return [_absolute(name, one) for one in {package, texts.get("package", package)}] if name else []


def _absolute(name: str, package: str) -> str:
    level = len(name) - len(name.lstrip("."))
    above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
    return ".".join([*above, *([name.lstrip(".")] if name.lstrip(".") else [])])
