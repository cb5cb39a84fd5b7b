"""One way to train seeds, in its own process, which answers commands: `subject WAY SEEDS CORE`. See `__main__.py`.

WAY is "one" (a compiled step, called for one seed after the other), "map" or "vmap" (a compiled step of all seeds).
CORE is the only core that it may use, or empty.
"""

import json
import os
import resource
import sys
import time

WAY, SEEDS = sys.argv[1], json.loads(sys.argv[2])
if sys.argv[3]:  # before XLA counts the cores
    os.sched_setaffinity(0, {int(sys.argv[3])})

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from experiments.seeds.ways import WAYS, config_of, program_of  # noqa: E402
from jaxattn import runtime  # noqa: E402
from jaxattn.training import loop  # noqa: E402
from jaxattn.training.batch import epoch_rows  # noqa: E402

IMAGES = 4096


class Subject:
    def __init__(self):
        random, program = np.random.default_rng(0), program_of()
        images = random.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
        self.data = jax.device_put((images, random.integers(0, 10, IMAGES, dtype=np.int32)))
        keys = [loop.keys(config_of(seed)) for seed in SEEDS]
        self.keys = [key for _, key in keys]
        self.states = [program.init(key) for key, _ in keys]
        self.rows = [epoch_rows(seed, 1, IMAGES, config_of(seed).batch_size) for seed in SEEDS]
        if WAY != "one":
            self.states, self.keys, self.rows = (stacked(one) for one in (self.states, self.keys, self.rows))
        self.steps = 0
        start = time.perf_counter()
        self.call = runtime.jit(WAYS[WAY], runtime.KEEP_BARRIERS, donate_argnums=0)
        inputs = next(self.inputs())
        self.call = self.call.lower(*inputs).compile()
        self.compile_seconds = time.perf_counter() - start

    def inputs(self):
        """The inputs of the next call for each seed, or of the one call for all seeds."""
        if WAY == "one":
            for state, key, rows in zip(self.states, self.keys, self.rows, strict=True):
                yield state, key, *self.data, rows[self.steps % len(rows)]
        else:
            yield self.states, self.keys, *self.data, self.rows[:, self.steps % self.rows.shape[1]]

    def step(self, count):
        """Seconds and processor seconds of `count` steps of all seeds; the last loss (nats, summed) of each seed."""
        start, busy = time.perf_counter(), time.process_time()
        for _ in range(int(count)):
            results = [self.call(*inputs) for inputs in self.inputs()]
            self.states = [state for state, _ in results] if WAY == "one" else results[0][0]
            losses = np.concatenate([np.atleast_1d(tally.loss) for _, tally in results]).tolist()  # waits
            self.steps += 1
        return time.perf_counter() - start, time.process_time() - busy, losses

    def about(self):
        return self.compile_seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def stacked(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


if __name__ == "__main__":
    runtime.tune()
    jax.config.update("jax_enable_compilation_cache", False)
    subject = Subject()
    for line in sys.stdin:
        command, *arguments = line.split()
        print(json.dumps(getattr(subject, command)(*arguments)), flush=True)
