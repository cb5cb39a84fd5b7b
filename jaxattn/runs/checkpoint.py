"""Checkpoints of a run: `epoch-12.safetensors` holds the state after epoch 12, and a digest of it.

A checkpoint is written under another name and renamed, so a killed process leaves no incomplete one. It is refused if
its digest does not match its contents, or if it is of another run or epoch. Checkpoints of earlier versions, which do
not name their run, and folders that Orbax wrote are read, too.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from jaxattn.array_file import parse_safetensors
from jaxattn.errors import InputError, first_line, write_failure
from jaxattn.limits import read_bytes
from jaxattn.runs.store import write_bytes

_NAME = re.compile(r"epoch-(\d+)\.safetensors|(\d+)")  # the second is a folder that Orbax wrote
MAX_BYTES = 2 << 30  # of a checkpoint, which is untrusted
NO_RUN: Mapping[str, str] = MappingProxyType({})
_KINDS = "biuf"  # kinds of dtypes that safetensors always supports
_DRAFT = re.compile(r"epoch-\d+\.safetensors\..+|\d+\.orbax-checkpoint-tmp.*")  # what a killed process leaves


class DamagedCheckpointError(InputError):
    """A checkpoint that cannot be read, or is not what was written.

    Attributes:
        reason: which one, and what is wrong with it.
    """

    def __init__(self, reason: str):
        super().__init__(f"{reason}; delete it and resume from an earlier epoch, or start a new run")
        self.reason = reason

    def __reduce__(self):
        return type(self), (self.reason,)


def save(folder: Path, epoch: int, state: Any, keep: set[int], run: Mapping[str, str] = NO_RUN) -> None:
    """Writes `state`, a replicated tree of arrays [...], as the checkpoint of an epoch, atomically.

    Then it deletes epochs that are not in `keep`. Files that are not checkpoints are left alone. `run` identifies the
    run (`Manifest.header`); without it, the checkpoint names no run.

    Raises:
        InputError: if it cannot be written.
    """
    try:
        data = _pack(named(jax.device_get(state)), _about(run, epoch))
        write_bytes(folder / f"epoch-{epoch}.safetensors", data)
    except OSError as error:
        raise InputError(
            f"cannot write a checkpoint to {folder}: {write_failure(error)}, then resume", "resume", folder.parent
        ) from error
    old = {path for number, path in _paths(folder).items() if number not in keep}
    for path in old.union(path for path in folder.iterdir() if _DRAFT.fullmatch(path.name)):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def named(tree: Any) -> dict[str, np.ndarray]:
    """The arrays [...] of a tree by their path in it, such as "params/block_1/conv/kernel"."""
    return {name_of(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(tree)}


def name_of(path: Any) -> str:
    """The name of an array, from its key path in a tree."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def check(like: Any) -> None:
    """Checks that a state can be saved.

    Args:
        like: a tree with its shapes and types.

    Raises:
        InputError: if it holds an array of a type that checkpoints do not support.
    """
    for path, leaf in jax.tree.leaves_with_path(like):
        if not isinstance(leaf.dtype, np.dtype):
            raise InputError(
                f"{name_of(path)} is an array of {leaf.dtype}, which a checkpoint cannot hold; let the module keep "
                "numbers, such as jax.random.key_data of a key"
            )


def epochs(folder: Path) -> list[int]:
    """Epochs that have a checkpoint, ascending; empty if the folder cannot be read."""
    return sorted(_paths(folder))


def files(folder: Path) -> list[Path]:
    """The files of all checkpoints, by epoch."""
    paths = _paths(folder)
    trees = ([paths[epoch], *sorted(paths[epoch].rglob("*"))] for epoch in sorted(paths))
    return [path for tree in trees for path in tree if path.is_file()]


def _paths(folder: Path) -> dict[int, Path]:
    """The checkpoints in a folder, by epoch; if an epoch has a file and a folder, the file."""
    try:
        paths = sorted(folder.iterdir(), key=Path.is_file)
    except OSError:
        return {}
    matches = ((path, _NAME.fullmatch(path.name)) for path in paths)
    return {int(match[1] or match[2]): path for path, match in matches if match and path.is_file() == bool(match[1])}


def digest(folder: Path, epoch: int) -> str:
    """SHA-256 (hex) of the files of an epoch's checkpoint; that of no bytes if there is none."""
    path = _paths(folder).get(epoch)
    sha = hashlib.sha256()
    for file in () if path is None else (path, *sorted(path.rglob("*"))):
        if file.is_file():
            sha.update(read_bytes(file, MAX_BYTES))
    return sha.hexdigest()


def read(folder: Path, epoch: int, run: Mapping[str, str] = NO_RUN) -> tuple[Path, dict[str, np.ndarray]]:
    """The checkpoint of an epoch and its arrays [...], by name; types that safetensors lacks are still bytes.

    Raises:
        DamagedCheckpointError: if it is missing, damaged, or of another run than `run` or of another epoch.
    """
    path = _paths(folder).get(epoch, folder / f"epoch-{epoch}.safetensors")
    try:
        if path.is_dir():
            from jaxattn.runs.orbax_checkpoint import read_orbax

            return path, named(read_orbax(path))
        return path, _unpack(read_bytes(path, MAX_BYTES), _about(run, epoch))
    except Exception as error:  # a damaged file may make its reader raise anything
        raise DamagedCheckpointError(f"checkpoint {path} is damaged: {first_line(error)}") from error


def restore(folder: Path, epoch: int, like: Any, run: Mapping[str, str] = NO_RUN) -> Any:
    """The state of an epoch, as NumPy.

    Args:
        folder: the folder of the checkpoints.
        epoch: one of `epochs(folder)`.
        like: a tree with the shapes and types wanted: all that was saved, or a part.
        run: the run that it must be of, if it names one.

    Raises:
        DamagedCheckpointError: as for `read`.
        InputError: if it is of another network or version.
    """
    path, arrays = read(folder, epoch, run)

    def stored(key_path, leaf):
        name = name_of(key_path)
        array = arrays.get(name)
        if array is not None and leaf.dtype.kind not in _KINDS and array.nbytes == leaf.size * leaf.dtype.itemsize:
            array = array.view(leaf.dtype).reshape(leaf.shape)
        if array is None or (array.shape, array.dtype) != (leaf.shape, leaf.dtype):
            holds = "is missing" if array is None else f"is {array.dtype} {list(array.shape)}"
            raise InputError(
                f"checkpoint {path} is of another network or version: {name} must be {leaf.dtype} {list(leaf.shape)} "
                f"and {holds}; start a new run"
            )
        return array

    return jax.tree.map_with_path(stored, like)


def _about(run: Mapping[str, str], epoch: int) -> dict[str, str]:
    return {**run, "epoch": str(epoch)} if run else {}


def _pack(arrays: Mapping[str, np.ndarray], about: dict[str, str]) -> bytes:
    """The contents of a checkpoint, with a digest in its header; types that safetensors lacks are kept as bytes."""
    from safetensors.numpy import save

    plain = {
        name: np.asarray(array, order="C") if array.dtype.kind in _KINDS else np.frombuffer(array.tobytes(), np.uint8)
        for name, array in arrays.items()
    }
    return save(plain, metadata={**about, "sha256": _digest(save(plain), about)})


def _unpack(data: bytes, wanted: dict[str, str]) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint.

    Raises:
        Exception: of many types, if it is damaged.
    """
    arrays = parse_safetensors(data)  # before all else: it checks the header's size
    about = _header(data).get("__metadata__", {})
    if about.pop("sha256", None) != _digest(data, about):
        raise ValueError("its digest is not that of its contents")
    if wanted and any(wanted.get(name) != value for name, value in about.items()):
        raise ValueError("it is of another run or epoch, or config.json was changed since")
    return arrays


def _header(data):
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def _digest(data, about):
    """SHA-256 (hex) of a safetensors file's names, types, shapes and values, and of the run and epoch that it names."""
    arrays = {name: about for name, about in _header(data).items() if name != "__metadata__"}
    sha = hashlib.sha256(json.dumps(arrays, sort_keys=True).encode())
    if about:  # checkpoints of earlier versions name no run
        sha.update(json.dumps(about, sort_keys=True).encode())
    sha.update(memoryview(data)[8 + int.from_bytes(data[:8], "little") :])
    return sha.hexdigest()
