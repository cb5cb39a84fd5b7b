"""What each attention module costs: parameters, multiply-adds, training step and inference, relative to no attention.

    python -m experiments.modules                      # all modules, in all three blocks
    python -m experiments.modules --modules se,cbam --rounds 9

Modules are measured one after the other. In each round a module is timed once, right after the plain network, and its
time is divided by that one; the table gives the median over the rounds, so that a slow spell of the machine affects
both. A step is one of the training loop (batch 64, Adam, dropout, batch statistics, no augmentation), inference is one
batch of one image. Parameters and multiply-adds are those of `jaxattn modules`. "Arithmetic" is the ratio of
multiply-adds with the module to those without it: what the module would cost if time were proportional to arithmetic.
A gate reads and writes its whole feature map for a few operations on each number, so it costs more than that on every
machine.

Writes `<platform>.json` and `<platform>.md` beside this file.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments import common
from jaxattn import runtime
from jaxattn.attention import ATTENTION, resolve
from jaxattn.attention.cost import cost
from jaxattn.data import cifar10
from jaxattn.data.augment import AUGMENT
from jaxattn.modules import IMAGE, block_shapes
from jaxattn.networks import CNN
from jaxattn.training import optim
from jaxattn.training.batch import make_batch
from jaxattn.training.state import init_state
from jaxattn.training.step import make_train_step

BATCH = 64
SECONDS = 0.4  # of one timing, about


class Subject:
    """A network with one module, compiled and ready to be timed."""

    def __init__(self, name, blocks, images, labels):
        model = CNN(attention=resolve(name), attention_at=blocks)
        optimizer = optim.adam(lambda step: 1e-3, 0.0)
        plateau = optim.plateau("constant", 0.5, 3)
        self.state = init_state(model, optimizer, plateau, jax.random.key(0), IMAGE)
        step = make_train_step(model, optimizer, make_batch(AUGMENT["none"], cifar10.SPEC), True)
        self.batch = {"key": jax.random.key(1), "images": images, "labels": labels, "rows": jnp.arange(BATCH)}
        jitted = runtime.jit(step, runtime.KEEP_BARRIERS, donate_argnums=0)
        self.step = jitted.lower(self.state, **self.batch).compile()
        self.image = jax.tree.map(jnp.copy, self.state.variables), jnp.zeros((1, *IMAGE))
        self.infer = runtime.jit(model.apply, runtime.KEEP_BARRIERS).lower(*self.image).compile()
        self.repeats = {}
        for call in (self.train_once, self.infer_once):
            call()  # compiles
            self.repeats[call] = min(200, max(1, round(SECONDS / self.time(call, 1))))

    def train_once(self):
        self.state, tally = self.step(self.state, **self.batch)
        jax.block_until_ready(tally)

    def infer_once(self):
        self.infer(*self.image).block_until_ready()

    def time(self, call, repeats=None):
        """Seconds per call, as a mean over several calls."""
        repeats = repeats or self.repeats[call]
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats


def measure(names, blocks, rounds):
    """{name: {"step": ratios, "inference": ratios}} and the plain network's seconds, over the rounds."""
    random = np.random.default_rng(0)
    images = jnp.asarray(random.integers(0, 256, (BATCH, *IMAGE), dtype=np.uint8))
    labels = jnp.asarray(random.integers(0, 10, BATCH, dtype=np.int32))
    plain = Subject("none", blocks, images, labels)
    seconds = {"step": [], "inference": []}
    ratios = {name: {"step": [], "inference": []} for name in names}
    for name in names:
        subject = Subject(name, blocks, images, labels)
        for _ in range(rounds):
            for what, call in (("step", "train_once"), ("inference", "infer_once")):
                seconds[what].append(plain.time(getattr(plain, call)))
                ratios[name][what].append(subject.time(getattr(subject, call)) / seconds[what][-1])
        print(f"{name}: {np.median(ratios[name]['step']):.2f}", file=sys.stderr)
    return ratios, seconds


def table(result):
    """The result as Markdown."""
    header = ("module", "parameters", "multiply-adds", "arithmetic", "step", "inference")
    rows = [
        (
            name,
            f"{row['parameters']:,}",
            f"{row['multiply_adds']:,.0f}",
            f"{row['arithmetic']:.3f}",
            *(f"{row[what]['median']:.2f}" for what in ("step", "inference")),
        )
        for name, row in result["modules"].items()
    ]
    plain = result["none"]
    return "\n".join(
        [
            *common.table(header, rows),
            "",
            f"Attention in blocks {', '.join(map(str, result['at']))}. Plain network: step of {result['batch']} images "
            f"{1e3 * plain['step']:.1f} ms, inference of one image {1e3 * plain['inference']:.2f} ms, "
            f"{plain['multiply_adds']:,.0f} multiply-adds. Medians of {result['rounds']} rounds on "
            f"{common.on(result['machine'])}.",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description="Measure what each attention module costs.")
    names = [name for name in ATTENTION if name != "none"]
    parser.add_argument("--modules", default=",".join(names), help="names to measure (default: all)")
    parser.add_argument("--at", default="1,2,3", help="blocks with attention (default: all)")
    parser.add_argument("--rounds", type=int, default=9, help="times each module is timed")
    parser.add_argument("--out", default=Path(__file__).parent, type=Path, help="folder for the two files")
    arguments = parser.parse_args()
    runtime.tune()
    names = arguments.modules.split(",")
    blocks = tuple(map(int, arguments.at.split(",")))
    shapes = [shape for i, shape in enumerate(block_shapes(), 1) if i in blocks]
    plain = cost(CNN(), IMAGE).multiply_adds
    ratios, seconds = measure(names, blocks, arguments.rounds)
    modules = {}
    for name in names:
        parameters, multiply_adds = map(sum, zip(*(cost(resolve(name)(), shape) for shape in shapes), strict=True))
        modules[name] = {
            "parameters": parameters,
            "multiply_adds": multiply_adds,
            "arithmetic": (plain + multiply_adds) / plain,
            **{what: common.summary(values) for what, values in ratios[name].items()},
        }
    result = {
        "machine": common.machine(),
        "batch": BATCH,
        "at": blocks,
        "rounds": arguments.rounds,
        "none": {"multiply_adds": plain} | {what: statistics.median(values) for what, values in seconds.items()},
        "modules": modules,
    }
    stem = arguments.out / jax.default_backend()
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    stem.with_suffix(".md").write_text(table(result) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
