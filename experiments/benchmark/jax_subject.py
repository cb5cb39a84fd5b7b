"""The JAX side of the benchmark: jaxattn, also with wider blocks or other recipes, or the network in plain Flax layers.

It answers commands like `torch_subject.py`.
"""

import functools
import json
import platform
import resource
import sys
import time

import jax
import numpy as np
import optax
from plain_flax import PlainCNN, PlainResNet

from jaxattn import runtime
from jaxattn.attention import resolve
from jaxattn.config import Config
from jaxattn.data import cifar10
from jaxattn.data.augment import AUGMENT
from jaxattn.data.splits import Split, Splits
from jaxattn.networks import CNN, create
from jaxattn.runs.data import divide
from jaxattn.training import feed, loop
from jaxattn.training.batch import make_batch
from jaxattn.training.program import build
from jaxattn.training.state import init_state
from jaxattn.training.step import make_train_step

SETTING, BATCH, DATA, NETWORK = sys.argv[1], int(sys.argv[2]), sys.argv[3], (sys.argv[4:] or ["cnn"])[0]
# The flags of a subject; the others use those of the recipe `original`.
FLAGS = {
    "standard": {"recipe": "standard", "batch_size": None},
    "adamw-50": {
        **{"recipe": "standard", "epochs": 50, "batch_size": 64, "optimizer": "adam", "learning_rate": 2e-3},
        **{"weight_decay": 0.02, "schedule": "cosine", "warmup_epochs": 1.0, "dropout": 0.3, "crop_padding": 4},
        **{"flips": "random", "keep": "best", "norm_bias_rate": 1.0, "muon_rate": 0.0, "label_smoothing": 0.0},
        **{"ema": 0.0, "first_conv": "pytorch", "later_convs": "pytorch"},
    },
}


def plain():
    """The network in plain Flax layers."""
    if NETWORK == "cnn":
        return PlainCNN()
    ours = create("none", 16, (32, 32, 3), NETWORK)
    return PlainResNet(ours.widths, ours.blocks, ours.projection)


def by_hand(model, jit=jax.jit):
    """The step without augmentation, and the function that makes a state, for a network that `build` cannot make."""
    optimizer, plateau = optax.adam(1e-3), optax.contrib.reduce_on_plateau()
    step = make_train_step(model, optimizer, make_batch(AUGMENT["none"], cifar10.SPEC), True)
    return jit(step, donate_argnums=0), jax.jit(lambda key: init_state(model, optimizer, plateau, key, (32, 32, 3)))


class Subject:
    def __init__(self):
        with np.load(DATA) as data:
            train, test = (
                Split(data[f"{part}_images"], data[f"{part}_labels"].astype(np.int32)) for part in ("train", "test")
            )
        flags = {"recipe": "original", "train_mode": "every-epoch", "batch_size": BATCH} | FLAGS.get(SETTING, {})
        if NETWORK != "cnn":
            flags = {"network": NETWORK, "batch_size": BATCH}
        self.config = config = Config(attention="se", **flags)
        train, self.monitored = divide(config, Splits(cifar10.SPEC, train, test))
        self.program = build(config, cifar10.SPEC, len(train) // config.batch_size)
        bare = build(Config(**config.to_json() | {"augment": "none"}), cifar10.SPEC, 1).step[True]
        init = self.program.init
        if SETTING == "plain-flax":
            bare, init = by_hand(plain())
        if SETTING == "jaxattn-wide":
            wide = CNN(widths=tuple(2 * width for width in CNN.widths), attention=resolve("se"))
            bare, init = by_hand(wide, functools.partial(runtime.jit, cpu=runtime.KEEP_BARRIERS))
        self.bare = bare
        self.data = feed.to_device(train)
        self.state, self.key = init(jax.random.key(0)), jax.random.key(1)
        self.training = None

    def step(self, count, augment="none"):
        step = self.program.step[True] if augment == "full" else self.bare
        rows, seconds = np.arange(BATCH), []
        for _ in range(int(count)):
            start = time.perf_counter()
            self.state, tally = step(self.state, self.key, *self.data, rows)
            float(tally.loss)
            seconds.append(time.perf_counter() - start)
        return seconds

    def epoch(self, _):
        """Seconds of the next epoch with its evaluation, as in a run's `metrics.jsonl`."""
        if self.training is None:
            inputs = self.state, self.data, self.monitored
            self.training = loop.train(self.program, self.config, *inputs, 0, lambda epoch, step: None)
        self.state, metrics = next(self.training)
        return metrics["seconds"]

    def about(self):
        return {"jax": jax.__version__, "python": platform.python_version(), "device": jax.devices()[0].device_kind}

    def memory(self):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    if SETTING != "plain-flax":
        runtime.tune()
    subject = Subject()
    for line in sys.stdin:
        command, *arguments = line.split()
        print(json.dumps(getattr(subject, command)(*arguments)), flush=True)
