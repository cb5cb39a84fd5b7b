"""How seeds of one configuration train fastest on this machine: one after the other, or all in one compiled program.

    python -m experiments.seeds

The ways are those of `TITLES`; each runs in its own process (the last one: in two), which compiles jaxattn's training
step of the recipe `standard` with squeeze-and-excitation, and keeps the images in memory. Rounds are interleaved: in
each, every way takes steps of all seeds for about `SECONDS`. A ratio is that of one round, to one seed after the other.
At the first step, all ways must give the same losses.

Writes `result.json` beside this file, and prints the tables of `README.md`.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

import numpy as np

from experiments import common
from experiments.seeds.ways import config_of, contents

SEEDS, SECONDS = [0, 1, 2, 3], 2
TITLES = {
    "one": "(a) one after the other, as the product",
    "map": "(b) `lax.map` over seeds",
    "vmap": "(c) `vmap` over seeds",
    "processes": "(d) two processes, a core each",
}
STEP = ("way", "ms a step and seed", "of processor time", "ratio to (a)", "compiling, s", "peak memory, GB")


def start(way, core="", seeds=SEEDS):
    command = [sys.executable, "-m", "experiments.seeds.subject", way, json.dumps(seeds), str(core)]
    return common.Child(command, way)


def seconds_of(children, count):
    """Seconds in which all processes of a way take `count` steps, their processor time, the losses of the last step."""
    for child in children:
        child.tell(f"step {count}")
    answers = [child.answer() for child in children]
    seconds, busy, losses = zip(*answers, strict=True)
    return max(seconds), sum(busy), [loss for of in losses for loss in of]


def measure(rounds):
    """By way: seconds per step and seed, by round; the same in processor time; seconds to compile; peak bytes."""
    subjects = {}
    for way in TITLES:
        halves = [("one", core, SEEDS[2 * core : 2 * core + 2]) for core in range(2)]
        subjects[way] = [start(*half) for half in halves] if way == "processes" else [start(way)]
        compiled = [child.ask("about")[0] for child in subjects[way]]  # waits: the next way compiles alone
        print(f"{way} compiled in {compiled} s", file=sys.stderr)
    first = {way: seconds_of(children, 1)[2] for way, children in subjects.items()}
    for way, losses in first.items():
        np.testing.assert_allclose(losses, first["one"], rtol=1e-4, err_msg=way)
    counts = {way: max(1, round(SECONDS / seconds_of(children, 1)[0])) for way, children in subjects.items()}
    times, busy = ({way: [] for way in subjects} for _ in range(2))
    for number in range(rounds):
        for way, children in subjects.items():
            found = seconds_of(children, counts[way])
            for kept, seconds in zip((times, busy), found[:2], strict=True):
                kept[way].append(seconds / counts[way] / len(SEEDS))
        latest = {way: round(1e3 * rounds[-1], 1) for way, rounds in times.items()}
        print(f"round {number + 1}: {latest}", file=sys.stderr)
    about = {way: [child.ask("about") for child in children] for way, children in subjects.items()}
    for children in subjects.values():
        for child in children:
            child.stop()
    compiling = {way: max(seconds for seconds, _ in processes) for way, processes in about.items()}
    return times, busy, compiling, {way: sum(peak for _, peak in processes) for way, processes in about.items()}


def tables(result):
    """The result as Markdown."""
    rows = [
        (
            title,
            *(f"{1e3 * statistics.median(result[what][way]):.1f}" for what in ("step", "processor")),
            common.spread(result["ratio"][way]),
            f"{result['compiling'][way]:.1f}",
            f"{result['memory'][way] / 1e9:.2f}",
        )
        for way, title in TITLES.items()
    ]
    programs = [
        (platform, way, *map(str, found.values()))
        for platform, ways in result["programs"].items()
        for way, found in ways.items()
    ]
    header = ("platform", "way", *result["programs"]["cpu"]["one"])
    about = f"Batch {result['batch']}, {len(SEEDS)} seeds, {result['rounds']} rounds on {common.on(result['machine'])}."
    return "\n".join([*common.table(STEP, rows), "", about, "", *common.table(header, programs, 2)])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    times, busy, compiling, memory = measure(rounds)
    result = {
        "machine": common.machine(),
        "batch": config_of(0).batch_size,
        "rounds": rounds,
        "step": times,
        "processor": busy,
        "ratio": common.ratios(times, ["one"]),
        "compiling": compiling,
        "memory": memory,
        "programs": contents(len(SEEDS)),
    }
    Path(__file__).with_name("result.json").write_text(json.dumps(result, indent=1) + "\n")
    print(tables(result))


if __name__ == "__main__":
    main()
