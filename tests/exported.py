"""Runs with random weights to export, and what exports hold."""

import dataclasses
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tiny

from jaxattn import Config
from jaxattn.runs.run import Run
from jaxattn.training.program import network

SHAPE = (32, 32, 3)
IMAGES = tiny.splits().test.images
RESULT = {"test_accuracy": 0.75, "test_images": 40}


def run_of(attention="se", result=None, shape=SHAPE, **flags):
    """A run with random weights, in no folder."""
    config = Config(attention=attention, **{"dataset": "tiny", "epochs": 3} | flags)
    spec = dataclasses.replace(tiny.SPEC, image_shape=shape)
    model = network(config, spec)
    like = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *shape)))
    random = np.random.default_rng(0)

    def draw(path, leaf):
        if path[-1].key == "var":
            return random.uniform(0.5, 2, leaf.shape).astype(np.float32)
        return random.normal(0, 0.5, leaf.shape).astype(np.float32)

    variables = jax.tree.map(jnp.asarray, jax.tree.map_with_path(draw, like))
    return Run(Path("nowhere"), config, spec, model, variables, 3, [], result)


def write(folder, contents):
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def python_block(text):
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return block
