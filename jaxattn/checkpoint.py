"""Checkpoints of a run, one folder an epoch, through Orbax."""

import shutil
from pathlib import Path
from typing import Any

import jax

from jaxattn.errors import InputError


def save(folder: Path, epoch: int, state: Any, keep: set[int]) -> None:
    """Writes `state`, a tree of arrays, as `folder/<epoch>`, whole or not at all; then deletes epochs not in `keep`.

    Raises:
        InputError: where the disk will not take it.
    """
    import orbax.checkpoint as ocp

    try:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(folder.absolute() / str(epoch), state, force=True)
    except (OSError, ValueError) as error:  # Orbax's writer reports a full disk as ValueError
        raise InputError(
            f"cannot write a checkpoint to {folder}: {_first_line(error)}; free space and resume"
        ) from error
    for path in folder.iterdir():  # also what a killed process left half written
        if path.name not in {str(kept) for kept in keep}:
            shutil.rmtree(path)


def epochs(folder: Path) -> list[int]:
    """Epochs whose checkpoints are whole, ascending."""
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal())


def restore(folder: Path, epoch: int, like: Any) -> Any:
    """The state of `epoch` on this process's first device, whatever device it was saved from.

    Args:
        folder: of the checkpoints.
        epoch: one of `epochs(folder)`.
        like: a tree with the shapes and types wanted.

    Raises:
        InputError: where it is not there, damaged, or of another network.
    """
    import orbax.checkpoint as ocp

    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), like)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            return checkpointer.restore(folder.absolute() / str(epoch), target)
    except Exception as error:  # whatever a damaged file makes Orbax's readers raise
        raise InputError(
            f"checkpoint {folder / str(epoch)} is damaged or of another network: {_first_line(error)}; "
            "delete that folder to go on from an earlier one, or start a new run"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
