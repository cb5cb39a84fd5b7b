"""A data set of a few images whose class is easy to see, as arrays and as a prepared TFDS folder."""

import dataclasses
import json

import numpy as np

from experiments.fuzz import tfds_folder
from jaxattn.data import cifar10
from jaxattn.data.dataset import Dataset
from jaxattn.data.splits import Split, Splits

SPEC = dataclasses.replace(cifar10.SPEC, name="tiny", train=160, test=40)

# Fields of a `Config` that trains on it in a second or two.
CONFIG = {
    "dataset": "tiny",
    "epochs": 2,
    "batch_size": 6,
    "augment": "none",
    "optimizer": "adam",
    "schedule": "plateau",
    "learning_rate": 1e-3,
    "warmup_epochs": 0.0,
    "muon_rate": 0.0,
    "ema": 0.0,
    "keep": "best",
}

# The same with each ingredient of a recipe.
RECIPE = {
    **CONFIG,
    "keep": "last",
    "optimizer": "sgd",
    "schedule": "linear",
    "norm_bias_rate": 8.0,
    "muon_rate": 0.02,
    "muon_decay": 0.1,
    "label_smoothing": 0.1,
    "ema": 0.9,
    "first_conv": "whitening",
    "later_convs": "dirac",
    "flips": "alternating",
}


def splits(train=160, test=40, seed=0, spec=SPEC):
    rng = np.random.default_rng(seed)

    def draw(count):
        labels = (np.arange(count) % 10).astype(np.int32)
        images = rng.integers(0, 100, (count, 32, 32, 3))
        images[np.arange(count), :, 3 * labels + 1] += 150  # a bright column whose position is the class
        return Split(images.astype(np.uint8), labels)

    return Splits(spec, draw(train), draw(test))


def edit_result(folder, **change):
    """Changes values of `result.json`, as if they had been written so: it says no more what it held."""
    path = folder / "result.json"
    values = json.loads(path.read_text()) | change
    values.pop("digest", None)
    path.write_text(json.dumps(values))


def dataset(*args, **options):
    """The data set as `DATASETS` holds it."""
    return Dataset(SPEC, lambda data_dir: splits(*args, **options))


def folder(data_dir, **sizes):
    """`data_dir`, with the images prepared in it as CIFAR-10."""
    tfds_folder.write(data_dir / "cifar10" / "3.0.2", splits(**sizes, spec=cifar10.SPEC))
    return data_dir
