"""Checkpoints of earlier versions, which Orbax wrote as folders."""

from pathlib import Path
from typing import Any

import jax
import numpy as np


def read_orbax(path: Path) -> Any:
    """The contents of an Orbax folder, as a tree of NumPy arrays [...].

    Raises:
        Exception: of many types, if the folder is damaged.
    """
    import orbax.checkpoint as ocp

    options = {}
    if jax.process_count() > 1:  # Orbax would wait for the other processes to do their part
        options["multiprocessing_options"] = ocp.options.MultiprocessingOptions(
            primary_host=jax.process_index(), active_processes={jax.process_index()}, barrier_sync_key_prefix="one"
        )
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**options), **options) as reader:
        like = reader.metadata(path.absolute()).item_metadata.tree
        arguments = jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray), like)
        return reader.restore(path.absolute(), args=ocp.args.PyTreeRestore(restore_args=arguments))
