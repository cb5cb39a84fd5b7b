"""One small run, as a process of its own: `python spread.py FOLDER`, on whatever devices JAX's environment gives."""

import json
import os
import sys
from pathlib import Path

import jax
import numpy as np
import tiny

from jaxattn import Config, devices, fit, program, resume
from jaxattn.data import DATASETS
from jaxattn.model import CNN


def main(folder):
    if "JAX_NUM_PROCESSES" in os.environ:
        devices.connect()
    DATASETS["tiny"] = lambda data_dir: tiny.splits(80, 24)
    program.CNN = lambda **options: CNN(**options | {"attention": None}, widths=(4, 8), hidden=16)
    program.CNN.widths = (4, 8)
    config = Config(
        dataset="tiny", epochs=1, batch_size=24, augment="full", schedule="plateau", warmup_epochs=0.0,
        learning_rate=1e-3, attention_at="1,2", validation=0.25,
    )  # fmt: skip
    fit(config, Path(folder, "run"))
    run = resume(Path(folder, "run"), epochs=2)  # the checkpoint comes back on all devices
    name = f"seen-{jax.process_index()}"
    leaves = {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree.leaves_with_path(run.variables)}
    np.savez(Path(folder, name + ".npz"), **leaves)
    Path(folder, name + ".json").write_text(json.dumps([jax.device_count(), run.metrics, run.result]))


if __name__ == "__main__":
    main(sys.argv[1])
