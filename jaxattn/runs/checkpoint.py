"""Checkpoints of a run, one folder an epoch, through Orbax."""

import re
import shutil
import threading
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxattn.errors import InputError, first_line

_INCOMPLETE = re.compile(r"\d+\.orbax-checkpoint-tmp.*")  # what a killed process leaves
_saving = threading.Lock()  # Orbax numbers the saves of a process: of two at once, one may take the other's number


def save(folder: Path, epoch: int, state: Any, keep: set[int]) -> None:
    """Writes `state`, a replicated tree of arrays [...], as `folder/<epoch>`, whole or not at all.

    Then it deletes epochs that are not in `keep`. Files that are not checkpoints are left alone.

    Raises:
        InputError: where it cannot be written.
    """
    if jax.process_count() > 1:  # Orbax lets no process write JAX's arrays without the others
        state = jax.device_get(state)
    import orbax.checkpoint as ocp

    try:
        with _saving, ocp.StandardCheckpointer(**_this_process_only()) as checkpointer:
            checkpointer.save(folder.absolute() / str(epoch), state, force=True)
    except (OSError, ValueError) as error:  # Orbax's writer reports a full disk as ValueError
        raise InputError(
            f"cannot write a checkpoint to {folder}: {first_line(error)}; free space, then resume",
            "resume",
            folder.parent,
        ) from error
    old = {str(number) for number in epochs(folder)} - {str(kept) for kept in keep}
    for path in folder.iterdir():
        if path.name in old or _INCOMPLETE.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def epochs(folder: Path) -> list[int]:
    """Epochs whose checkpoints are complete, ascending; none where the folder cannot be read."""
    try:
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal() and path.is_dir())
    except OSError:
        return []


def restore(folder: Path, epoch: int, like: Any) -> Any:
    """The state of `epoch` on this process's first device, wherever it was saved; as NumPy with several processes.

    Args:
        folder: of the checkpoints.
        epoch: one of `epochs(folder)`.
        like: a tree with the shapes and types wanted: all that was saved, or a part; only that is read.

    Raises:
        InputError: where it is missing, damaged, or of another network or version.
    """
    import orbax.checkpoint as ocp

    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), like)
    arguments = ocp.checkpoint_utils.construct_restore_args(target)
    if jax.process_count() > 1:
        arguments = jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray), target)
    try:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**_this_process_only()), **_this_process_only()) as reader:
            state = reader.restore(
                folder.absolute() / str(epoch),
                args=ocp.args.PyTreeRestore(item=target, restore_args=arguments, partial_restore=True),
            )
        for (path, found), leaf in zip(jax.tree.leaves_with_path(state), jax.tree.leaves(like), strict=True):
            if isinstance(found, jax.ShapeDtypeStruct) or found.shape != leaf.shape:  # Orbax leaves what is missing
                raise ValueError(f"it lacks {jax.tree_util.keystr(path)} {list(leaf.shape)}")
        return state
    except Exception as error:  # whatever a damaged file makes Orbax's readers raise
        raise InputError(
            f"checkpoint {folder / str(epoch)} is damaged, or of another network or version: {first_line(error)}; "
            "start a new run, or, if it is damaged, delete that folder and resume from an earlier epoch"
        ) from error


def _this_process_only():
    """Options that have Orbax work in this process alone: it would otherwise wait for the others to do their part."""
    if jax.process_count() == 1:
        return {}
    import orbax.checkpoint as ocp

    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(), active_processes={jax.process_index()}, barrier_sync_key_prefix="alone"
    )
    return {"multiprocessing_options": alone}
