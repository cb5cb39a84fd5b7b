"""Checkpoints of earlier versions, which Orbax wrote as folders."""

from pathlib import Path
from typing import Any

import jax
import numpy as np


def read_orbax(path: Path, like: Any) -> Any:
    """The arrays that a folder of Orbax holds of `like`, as a tree of NumPy arrays; nothing where one is missing.

    Args:
        path: the folder.
        like: a tree with the shapes and types wanted.

    Raises:
        Exception: of many types, where the folder is damaged.
    """
    import orbax.checkpoint as ocp

    options = {}
    if jax.process_count() > 1:  # Orbax would wait for the other processes to do their part
        options["multiprocessing_options"] = ocp.options.MultiprocessingOptions(
            primary_host=jax.process_index(), active_processes={jax.process_index()}, barrier_sync_key_prefix="one"
        )
    arguments = jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray), like)
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**options), **options) as reader:
        tree = reader.restore(
            path.absolute(), args=ocp.args.PyTreeRestore(item=like, restore_args=arguments, partial_restore=True)
        )
    return jax.tree.map(lambda leaf: None if isinstance(leaf, jax.ShapeDtypeStruct) else leaf, tree)
