"""One small run as a process of its own, on the devices that JAX's environment gives: `several_devices.py
FOLDER EPOCHS`."""

import json
import os
import sys
from pathlib import Path

import jax
import numpy as np
import tiny

from jaxattn import Config, fit, resume
from jaxattn.data import DATASETS
from jaxattn.networks import CNN
from jaxattn.training import processes, program


def main(folder, epochs):
    DATASETS["tiny"] = tiny.dataset(80, 24)
    program.create = lambda attention, reduction, shape, *others, **options: CNN(widths=(4, 8), hidden=16, **options)
    config = Config(
        dataset="tiny", epochs=epochs - 1, batch_size=24, augment="full", schedule="plateau", warmup_epochs=0.0,
        learning_rate=1e-3, attention_at="1,2", validation=0.25,
    )  # fmt: skip
    fit(config, Path(folder, "run"))
    run = resume(Path(folder, "run"), epochs=epochs)  # the checkpoint is restored on all devices
    name = f"process-{jax.process_index()}"
    leaves = {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree.leaves_with_path(run.variables)}
    np.savez(Path(folder, name + ".npz"), **leaves)
    Path(folder, name + ".json").write_text(json.dumps([jax.device_count(), run.metrics, run.result]))


if __name__ == "__main__":
    with processes.connected("JAX_NUM_PROCESSES" in os.environ):
        main(sys.argv[1], int(sys.argv[2]))
