"""Checkpoints of a run: `epoch-12.safetensors` holds the state after epoch 12, and a digest of it.

A checkpoint is written beside its name and renamed, so a process that is killed leaves none or a whole one. One whose
digest does not agree with its contents is refused. Folders that Orbax wrote for earlier versions are read, too.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxattn.array_file import parse_safetensors
from jaxattn.errors import InputError, first_line
from jaxattn.limits import read_bytes
from jaxattn.runs.store import write_bytes

_NAME = re.compile(r"epoch-(\d+)\.safetensors|(\d+)")  # the second is a folder that Orbax wrote
MAX_BYTES = 2 << 30  # of a checkpoint, which anyone may have written
_KINDS = "biuf"  # of types that safetensors holds everywhere
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


def save(folder: Path, epoch: int, state: Any, keep: set[int]) -> None:
    """Writes `state`, a replicated tree of arrays [...], as the checkpoint of an epoch, whole or not at all.

    Then it deletes epochs that are not in `keep`. Files that are not checkpoints are left alone.

    Raises:
        InputError: where it cannot be written.
    """
    try:
        write_bytes(folder / f"epoch-{epoch}.safetensors", _pack(named(jax.device_get(state))))
    except OSError as error:
        raise InputError(
            f"cannot write a checkpoint to {folder}: {error.strerror}; free space, then resume", "resume", folder.parent
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
    """The name of an array by its path in a tree, as JAX gives it."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def check(like: Any) -> None:
    """Checks that a state can be saved.

    Args:
        like: a tree with its shapes and types.

    Raises:
        InputError: where it holds a type of array that no checkpoint can.
    """
    for path, leaf in jax.tree.leaves_with_path(like):
        if not isinstance(leaf.dtype, np.dtype):
            raise InputError(
                f"{name_of(path)} is an array of {leaf.dtype}, which a checkpoint cannot hold; let the module keep "
                "numbers, such as jax.random.key_data of a key"
            )


def epochs(folder: Path) -> list[int]:
    """Epochs that have a checkpoint, ascending; none where the folder cannot be read."""
    return sorted(_paths(folder))


def files(folder: Path) -> list[Path]:
    """The files of all checkpoints, by epoch."""
    paths = _paths(folder)
    trees = ([paths[epoch], *sorted(paths[epoch].rglob("*"))] for epoch in sorted(paths))
    return [path for tree in trees for path in tree if path.is_file()]


def _paths(folder: Path) -> dict[int, Path]:
    """The checkpoints in a folder, by epoch; of two of one epoch the file."""
    try:
        paths = sorted(folder.iterdir(), key=Path.is_file)
    except OSError:
        return {}
    matches = ((path, _NAME.fullmatch(path.name)) for path in paths)
    return {int(match[1] or match[2]): path for path, match in matches if match and path.is_file() == bool(match[1])}


def read(folder: Path, epoch: int) -> tuple[Path, dict[str, np.ndarray]]:
    """The checkpoint of an epoch and its arrays [...], by name; types that safetensors lacks are still bytes.

    Raises:
        DamagedCheckpointError: where it is missing or damaged.
    """
    path = _paths(folder).get(epoch, folder / f"epoch-{epoch}.safetensors")
    try:
        if path.is_dir():
            from jaxattn.runs.orbax_checkpoint import read_orbax

            return path, named(read_orbax(path))
        return path, _unpack(read_bytes(path, MAX_BYTES))
    except Exception as error:  # whatever a damaged file makes its reader raise
        raise DamagedCheckpointError(f"checkpoint {path} is damaged: {first_line(error)}") from error


def restore(folder: Path, epoch: int, like: Any) -> Any:
    """The state of an epoch, as NumPy.

    Args:
        folder: of the checkpoints.
        epoch: one of `epochs(folder)`.
        like: a tree with the shapes and types wanted: all that was saved, or a part.

    Raises:
        DamagedCheckpointError: where it is missing or damaged.
        InputError: where it is of another network or version.
    """
    path, arrays = read(folder, epoch)

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


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The contents of a checkpoint, with a digest in its header; types that safetensors lacks are kept as bytes."""
    from safetensors.numpy import save

    plain = {
        name: np.asarray(array, order="C") if array.dtype.kind in _KINDS else np.frombuffer(array.tobytes(), np.uint8)
        for name, array in arrays.items()
    }
    return save(plain, metadata={"sha256": _digest(save(plain))})


def _unpack(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint.

    Raises:
        Exception: of many types, where it is damaged.
    """
    if _header(data).get("__metadata__", {}).get("sha256") != _digest(data):
        raise ValueError("its digest is not that of its contents")
    return parse_safetensors(data)


def _header(data):
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def _digest(data):
    """SHA-256 (hex) of a safetensors file's names, types, shapes and values; not of its metadata."""
    arrays = {name: about for name, about in _header(data).items() if name != "__metadata__"}
    sha = hashlib.sha256(json.dumps(arrays, sort_keys=True).encode())
    sha.update(memoryview(data)[8 + int.from_bytes(data[:8], "little") :])
    return sha.hexdigest()
