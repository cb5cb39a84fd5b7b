"""jaxattn's training step, for one seed and for all seeds in one program, and what these programs contain."""

import re

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from jaxattn.config import Config
from jaxattn.data import cifar10
from jaxattn.training.program import build

IMAGE, STEPS_PER_EPOCH = (32, 32, 3), 351
PLATFORMS = ("cpu", "cuda", "tpu")


def config_of(seed):
    return Config(attention="se", seed=seed)


def program_of():
    return build(config_of(0), cifar10.SPEC, STEPS_PER_EPOCH)


def _step(*inputs):
    return program_of().step[True].__wrapped__(*inputs)


def _map(states, keys, images, labels, rows):
    return jax.lax.map(lambda seed: _step(seed[0], seed[1], images, labels, seed[2]), (states, keys, rows))


WAYS = {"one": _step, "map": _map, "vmap": jax.vmap(_step, in_axes=(0, 0, None, None, 0))}


def contents(seeds):
    """{platform: {way: operations}} of the programs for each platform."""
    return {platform: {way: _operations(platform, way, seeds) for way in WAYS} for platform in PLATFORMS}


def _operations(platform, way, seeds):
    program = program_of()
    one = (
        jax.eval_shape(program.init, jax.random.key(0)),
        jax.random.key(0),
        jnp.zeros(config_of(0).batch_size, np.int32),
    )
    axes = () if way == "one" else (seeds,)
    state, key, rows = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*axes, *leaf.shape), leaf.dtype), one)
    data = jax.ShapeDtypeStruct((4096, *IMAGE), np.uint8), jax.ShapeDtypeStruct((4096,), np.int32)
    text = export.export(jax.jit(WAYS[way]), platforms=[platform])(state, key, *data, rows).mlir_module()
    grouped = [int(count) for count in re.findall(r"feature_group_count = (\d+)", text)]
    by_batch = [int(count) for count in re.findall(r"batch_group_count = (\d+)", text)]
    return {
        "convolutions": text.count("stablehlo.convolution"),
        "grouped by features": sum(count > 1 for count in grouped),
        "grouped by batch": sum(count > 1 for count in by_batch),
        "matrix products": text.count("stablehlo.dot_general"),
        "transposes": text.count("stablehlo.transpose"),
        "loops": text.count("stablehlo.while"),
    }
