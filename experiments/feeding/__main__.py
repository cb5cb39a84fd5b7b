"""Training images on the device, compared with the same images fed in chunks from a file: images per second.

    python -m experiments.feeding

Rounds are interleaved; each ratio is that of one round.
"""

import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from experiments import common
from jaxattn import runtime
from jaxattn.config import Config
from jaxattn.data import cifar10
from jaxattn.data.splits import Split
from jaxattn.training import feed, loop
from jaxattn.training.batch import epoch_rows
from jaxattn.training.program import build

ROUNDS = 5
SIZES = {32: 1_536, 128: 256}  # pixels of a side: images
CHUNKS = 4  # of an epoch
BATCH = 64


def images_per_second(side, count, folder):
    """Images per second of both ways, by round: {way: [rounds]}."""
    spec = dataclasses.replace(cifar10.SPEC, image_shape=(side, side, 3), train=count)
    config, random = Config(attention="se", batch_size=BATCH), np.random.default_rng(0)
    np.save(folder / f"{side}.npy", random.integers(0, 256, (count, *spec.image_shape), np.uint8))
    images = np.load(folder / f"{side}.npy", mmap_mode="r")
    split = Split(images, random.integers(0, 10, count).astype(np.int32))
    feed.CHUNK = images.nbytes // CHUNKS
    program = build(config, spec, count // config.batch_size)
    ways = {"on the device": feed.to_device(split), "fed in chunks": feed.Fed(split)}
    first, key = loop.keys(config)
    states, seconds = {way: program.init(first) for way in ways}, {way: [] for way in ways}
    for number in range(ROUNDS + 1):  # the first one compiles
        for way, data in ways.items():
            rows = epoch_rows(0, number, count, config.batch_size)
            started = time.perf_counter()
            states[way], *_ = loop._epoch(program, True, states[way], key, data, rows, lambda done: None)
            jax.block_until_ready(states[way])
            if number:
                seconds[way].append(time.perf_counter() - started)
    return {way: [rows.size / one for one in values] for way, values in seconds.items()}


def main():
    runtime.tune()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for side, count in SIZES.items():
            speeds = images_per_second(side, count, Path(folder))
            resident, fed = speeds["on the device"], speeds["fed in chunks"]
            ratio = common.spread(common.summary(one / other for one, other in zip(fed, resident, strict=True)))
            medians = (f"{statistics.median(values):,.0f}" for values in (resident, fed))
            lines.append((f"{side}x{side}", f"{count:,}", *medians, ratio))
    header = ("images", "n", "images/s on the device", "images/s fed", "ratio, median (min-max)")
    print("\n".join(common.table(header, lines)))
    print(f"\n{ROUNDS} rounds, {CHUNKS} chunks an epoch, batch {BATCH}, {common.on(common.machine())}.")


if __name__ == "__main__":
    main()
