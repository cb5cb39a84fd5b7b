"""Data sets of every kind, with images of noise, and folders of finished runs on them with random weights."""

import dataclasses
import functools
import json

import jax
import numpy as np
from report_runs import drawn, metrics, result

from jaxattn.config import Config
from jaxattn.data import cifar100
from jaxattn.data.dataset import Dataset
from jaxattn.data.spec import Spec
from jaxattn.data.splits import Split, Splits
from jaxattn.metrics import frequencies
from jaxattn.runs import checkpoint
from jaxattn.runs.manifest import Manifest, claim
from jaxattn.runs.store import write_json, write_metrics
from jaxattn.training import program

GREY = ((0.5,) * 3, (0.25,) * 3)


def names(count):
    return tuple(f"class {i:03d} of a rather long name" if i % 7 == 3 else f"class {i:03d}" for i in range(count))


def spec(name, classes, height, width, **options):
    return Spec(name, classes, (height, width, 3), None, None, *GREY, source=f"{name} from nowhere", **options)


def noise(labels, height, width):
    random = np.random.default_rng(0)
    return Split(random.integers(0, 256, (len(labels), height, width, 3)).astype(np.uint8), labels.astype(np.int32))


def in_turn(count, classes):
    return np.arange(count) % classes


def unequal():
    """Labels of ten classes that have 1 to 50 images."""
    return np.repeat(np.arange(10), np.linspace(1, 50, 10).astype(int))


KINDS = {
    "two": (spec("two", ("no", "yes"), 8, 8), in_turn(12, 2)),
    "hundred": (dataclasses.replace(cifar100.SPEC, name="hundred", image_shape=(8, 8, 3)), in_turn(300, 100)),
    "thousand": (spec("thousand", names(1000), 8, 8), in_turn(1500, 1000)),
    "unequal": (spec("unequal", names(10), 8, 8), unequal()),
    "grey": (spec("grey", names(10), 28, 28), in_turn(20, 10)),
    "wide": (spec("wide", names(3), 24, 40), in_turn(9, 3)),
    "large": (spec("large", names(3), 224, 224), in_turn(3, 3)),
}


def splits(kind):
    facts, labels = KINDS[kind]
    test = noise(labels, *facts.image_shape[:2])
    if kind == "grey":
        test.images[..., 1:] = test.images[..., :1]
    return Splits(facts, test, test)


def dataset(kind):
    """As `DATASETS` holds it."""
    return Dataset(KINDS[kind][0], lambda data_dir: splits(kind))


@functools.cache
def network(config):
    """The network of a configuration, and the shapes of its state."""
    built = program.build(config, KINDS[config.dataset][0], 1)
    return built.model, program.template(built)


def finished(folder, kind, **options):
    """The folder of a finished run on a data set of this kind, of two epochs, with random weights."""
    images = splits(kind)
    config = Config(
        dataset=kind, epochs=2, batch_size=2, optimizer="adam", muon_rate=0.0, ema=0.0, keep="last", **options
    )
    manifest = Manifest(config, images.spec, images.digest())
    with claim(folder, manifest):
        pass
    model, template = network(dataclasses.replace(config, seed=0))
    variables = drawn(model, config.seed, images.spec.image_shape)
    state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), template)
    state = state.replace(params=variables.pop("params"), collections=variables)
    checkpoint.save(folder / "checkpoints", 2, state, {2})
    write_metrics(folder, [{**line, "images_per_second": 1e3} for line in metrics(2)])
    counts = frequencies(images.test.labels, len(images.classes)).tolist()
    more = {"tested_epoch": 2, "dataset": kind, "dataset_hash": manifest.dataset_hash, "seconds": 3.0, "parameters": 9,
            "train_images_by_class": counts, "test_images_by_class": counts}  # fmt: skip
    write_json(folder / "result.json", json.loads(json.dumps(result(config) | more)))
    return folder
