"""Runs to report on: small networks with random weights."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tiny

from jaxattn.config import Config
from jaxattn.data.spec import Spec
from jaxattn.data.splits import Split
from jaxattn.networks import create
from jaxattn.runs.run import Run
from jaxattn.runtime import QUICK_COMPILE

CLASSES = ("cat", "<b>dog</b>", "猫 & 犬", "\ud800 half")
_jit = jax.jit


def QUICKLY(function, **options):  # noqa: N802  # takes the place of jax.jit
    """As `jax.jit`, whatever compiler options are asked for."""
    return _jit(function, **options | {"compiler_options": QUICK_COMPILE})


def drawn(model, seed, shape):
    """Variables drawn at random, without the time it takes to compile how the network draws its own."""
    random = np.random.default_rng(seed)

    def draw(path, leaf):
        positive = path[-1].key in ("var", "scale")
        return (random.uniform(0.5, 2, leaf.shape) if positive else random.normal(0, 0.5, leaf.shape)).astype("f4")

    return jax.tree_util.tree_map_with_path(draw, variable_shapes(model, shape))


@functools.cache
def variable_shapes(model, shape):
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *shape)))


def split(count=12, classes=4, shape=(8, 8), masks=True):
    random = np.random.default_rng(0)
    labels = (np.arange(count) % classes).astype(np.int32)
    images = random.integers(0, 256, (count, *shape, 3)).astype(np.uint8)
    return Split(images, labels, random.random((count, *shape)) < 0.3 if masks else None)


def metrics(epochs, rates=None):
    keys = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    return [
        {"epoch": i, "seconds": 1.5, "learning_rate": (rates or [1e-3] * epochs)[i - 1],
         **{key: 1 / (i + j + 1) for j, key in enumerate(keys)}}
        for i in range(1, epochs + 1)
    ]  # fmt: skip


def result(config):
    return {
        "test_loss": 1.25, "test_accuracy": 0.25, "best_epoch": 1, "tested_epoch": 2, "epochs": 2,
        "monitored": config.monitor, "versions": {"jax": "0.1", "python": "3.11"}, "device": "1 x cpu (cpu, x86_64)",
    }  # fmt: skip


def run(attention="se", classes=CLASSES, shape=(8, 8), seed=0, **options):
    """A run of two epochs; `options` are fields of the configuration, except `widths`, those of the network."""
    widths = options.pop("widths", (4,))
    config = Config(attention=attention, dataset="drawn", seed=seed, epochs=2, **options)
    model = create(attention, 4, (*shape, 3), classes=len(classes), widths=widths, hidden=4)
    variables = drawn(model, seed, (*shape, 3))
    spec = Spec("drawn", classes, (*shape, 3), None, None, tiny.SPEC.mean, tiny.SPEC.std)
    return Run(Path("runs", f"{attention}-{seed}"), config, spec, model, variables, 2, metrics(2), result(config))


def data_of(html):
    """What the page's script reads."""
    return json.loads(html.split('id="data">')[1].split("</script>")[0])
