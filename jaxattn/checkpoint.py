"""Checkpoints of a run, one folder an epoch, through Orbax."""

import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxattn.errors import InputError, first_line


def save(folder: Path, epoch: int, state: Any, keep: set[int]) -> None:
    """Writes `state`, a tree of arrays that are whole on each device, as `folder/<epoch>`, whole or not at all.

    Then it deletes epochs that are not in `keep`.

    Raises:
        InputError: where the disk will not take it.
    """
    if jax.process_count() > 1:  # Orbax lets no process write JAX's arrays without the others
        state = jax.device_get(state)
    import orbax.checkpoint as ocp

    try:
        with ocp.StandardCheckpointer(**_alone()) as checkpointer:
            checkpointer.save(folder.absolute() / str(epoch), state, force=True)
    except (OSError, ValueError) as error:  # Orbax's writer reports a full disk as ValueError
        raise InputError(
            f"cannot write a checkpoint to {folder}: {first_line(error)}; free space and resume"
        ) from error
    for path in folder.iterdir():  # also what a killed process left half written
        if path.name not in {str(kept) for kept in keep}:
            shutil.rmtree(path)


def epochs(folder: Path) -> list[int]:
    """Epochs whose checkpoints are whole, ascending."""
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal())


def restore(folder: Path, epoch: int, like: Any) -> Any:
    """The state of `epoch` on this process's first device, wherever it was saved; as NumPy where processes are several.

    Args:
        folder: of the checkpoints.
        epoch: one of `epochs(folder)`.
        like: a tree with the shapes and types wanted; of all that was saved, or of a part: no more is read.

    Raises:
        InputError: where it is not there, damaged, or of another network.
    """
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def wanted(leaf):
        if jax.process_count() > 1:
            return np.zeros(leaf.shape, leaf.dtype)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device)

    import orbax.checkpoint as ocp

    target = jax.tree.map(wanted, like)
    options = ocp.args.PyTreeRestore(
        item=target, restore_args=ocp.checkpoint_utils.construct_restore_args(target), partial_restore=True
    )
    try:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**_alone()), **_alone()) as checkpointer:
            return checkpointer.restore(folder.absolute() / str(epoch), args=options)
    except Exception as error:  # whatever a damaged file makes Orbax's readers raise
        raise InputError(
            f"checkpoint {folder / str(epoch)} is damaged, or of another network or version: {first_line(error)}; "
            "delete that folder to go on from an earlier one, or start a new run"
        ) from error


def _alone():
    """Options that have Orbax work in this process alone: it would otherwise wait for the others to do their part."""
    if jax.process_count() == 1:
        return {}
    import orbax.checkpoint as ocp

    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(), active_processes={jax.process_index()}, barrier_sync_key_prefix="alone"
    )
    return {"multiprocessing_options": alone}
