"""Where the time of a training step goes: every XLA operation of it, timed by JAX's profiler on one core.

    python -m experiments.profile                           # the recipe standard
    python -m experiments.profile --recipe original --top 40
    python -m experiments.profile --network resnet18 --steps 3

With one core nothing runs at the same time, so the operations' times add up to the step's. On two cores a step takes
somewhat more than half of that. The network has squeeze-and-excitation; the images are built in.
"""

import argparse
import collections
import os
import re
import statistics
import tempfile
import time
from pathlib import Path

# The first pattern that is found in an operation's name, as XLA keeps it, says which part it belongs to.
PARTS = {
    r"conv\d?/.*(dot_general|conv_general_dilated)": "convolutions: matrix products, XLA's convolutions",
    r"conv\d?/(?!add|reduce_sum)": "convolutions: transforms, windows",
    r"conv\d?/|norm\d?/": "norms, and the convolutions' biases",
    r"/attention|/gate": "squeeze-and-excitation",
    r"/block_|/stage\d": "ReLU, gate, pool and residual sum",
    r"/hidden/|/head/|CNN/|ResNet/": "dense layers",
    r"jvp|": "the rest: augmentation, loss, optimiser",
}


def trace(call, count):
    """{operation: milliseconds a step} of the `count` steps in `call`."""
    import jax

    times = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            call()
        (file,) = Path(folder).rglob("*.xplane.pb")
        planes = jax.profiler.ProfileData.from_file(str(file)).planes
        for event in (event for plane in planes for line in plane.lines for event in line.events):
            times[event.name] += event.duration_ns / 1e6 / count
    return times


def operations(text):
    """{operation: (shape, name in the program)} of a compiled program's text."""
    shapes = {}
    for line in text.splitlines():
        if match := re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = \(?(\w+\[[^\]]*\])", line):
            name = re.search(r'op_name="([^"]*)"', line)
            shapes[match[1]] = match[2], name[1] if name else ""
    return shapes


def measure(recipe, network, count):
    """The configuration, the milliseconds of a step, and the results of `operations` and `trace` for it."""
    from jaxattn import Config, runtime
    from jaxattn.data import shapes
    from jaxattn.training import loop
    from jaxattn.training.batch import epoch_rows
    from jaxattn.training.program import build

    runtime.tune()
    config = Config(recipe=recipe, network=network, attention="se")
    images = shapes.make(train=2_000, test=10).train
    program = build(config, shapes.SPEC, len(images) // config.batch_size)
    first, key = loop.keys(config)
    inputs = key, images.images, images.labels, epoch_rows(0, 1, len(images), config.batch_size)[0]
    state = program.init(first)
    known = operations(program.step[True].lower(state, *inputs).compile().as_text())

    def steps():
        nonlocal state
        seconds = []
        for _ in range(count):
            started = time.perf_counter()
            state, tally = program.step[True](state, *inputs)
            float(tally.loss)
            seconds.append(time.perf_counter() - started)
        return 1e3 * statistics.median(seconds)

    steps()
    return config, steps(), known, {name: ms for name, ms in trace(steps, count).items() if name in known}


def main():
    parser = argparse.ArgumentParser(description="Time every operation of a training step, on one core.")
    parser.add_argument("--recipe", default="standard")
    parser.add_argument("--network", default="cnn")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--top", type=int, default=15, help="operations to list")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # before JAX counts the cores
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from experiments import common

    config, step, known, times = measure(arguments.recipe, arguments.network, arguments.steps)
    total, parts = sum(times.values()), collections.Counter()
    for name, ms in times.items():
        parts[next(part for pattern, part in PARTS.items() if re.search(pattern, known[name][1]))] += ms
    rows = ((part, f"{ms:.2f}", f"{ms / total:.0%}") for part, ms in parts.most_common())
    print("\n".join(common.table(("part", "ms", "of all"), rows)))
    print()
    top = collections.Counter(times).most_common(arguments.top)
    rows = ((f"`{known[name][1].removeprefix('jit(step)/')}`", f"`{known[name][0]}`", f"{ms:.2f}") for name, ms in top)
    print("\n".join(common.table(("operation", "gives", "ms"), rows, text_columns=2)))
    print(
        f"\nA step of {config.network}, recipe {config.recipe}, on {config.batch_size} images: {step:.1f} ms (median "
        f"of {arguments.steps}); in the profile, {total:.1f} ms in {len(times)} operations. One core; "
        f"{common.on(common.machine())}."
    )


if __name__ == "__main__":
    main()
