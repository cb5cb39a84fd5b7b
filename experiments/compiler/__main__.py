"""What XLA's fusion emitters cost on a CPU: the training step with them, and without them, as in jaxattn.

    python -m experiments.compiler

Each way runs in its own process, which compiles the training step of the recipe `standard` with squeeze-and-excitation;
rounds are interleaved. From jaxlib 0.11 on, jaxattn leaves the choice to XLA, since later versions do not have it.

Prints the table of `README.md`.
"""

import json
import os
import statistics
import sys

import jaxlib

from experiments import common

ROUNDS, STEPS = 9, 20
FLAG = "--xla_cpu_use_fusion_emitters"
WAYS = {"with it, XLA's default": f"{FLAG}=true", "without it, as jaxattn": f"{FLAG}=false"}


def start(way):
    os.environ["XLA_FLAGS"] = WAYS[way]  # takes precedence over jaxattn's setting
    return common.Child([sys.executable, "-m", "experiments.seeds.subject", "one", json.dumps([0]), ""], way)


def main():
    if jaxlib.version.__version_info__ >= (0, 11):
        sys.exit(f"jaxlib {jaxlib.__version__} has no choice to compare; use one before 0.11")
    children, compiling = {}, {}
    for way in WAYS:
        children[way] = start(way)
        compiling[way] = children[way].ask("about")[0]  # before the next one starts
    times = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way, child in children.items():
            times[way].append(child.ask(f"step {STEPS}")[0] / STEPS)
    for child in children.values():
        child.stop()
    first = next(iter(WAYS))
    ratio = common.ratios(times, [first])
    rows = [
        (
            way,
            f"{compiling[way]:.1f}",
            f"{compiling[way] / compiling[first]:.2f}",
            f"{1e3 * statistics.median(times[way]):.1f}",
            common.spread(ratio[way]),
        )
        for way in WAYS
    ]
    print("\n".join(common.table(("fusions", "compiling, s", "ratio", "step, ms", "ratio"), rows)))
    print(f"\nBatch 128, {ROUNDS} rounds of {STEPS} steps on {common.on(common.machine())}.")


if __name__ == "__main__":
    main()
