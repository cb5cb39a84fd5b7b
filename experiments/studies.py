"""The studies of attention modules on CIFAR-10: their plans, which were fixed before the first run, and their runs.

    nice -n 19 python -m experiments.studies train verdict --data-dir DIR --work WORK   # resumes after a stop
    python -m experiments.studies print verdict

For each run, `result.json`, `metrics.jsonl`, `knockout.json` (points of accuracy lost with replaced gates) and
`gates.json` (vital signs) are kept in `experiments/STUDY/VARIANT-sSEED`; for seed 1, also `gates_by_image.json`
(weights for eight images, which the documentation shows). A study may share runs of an earlier one.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments import common
from jaxattn.comparison import variants
from jaxattn.comparison.estimates import pairs
from jaxattn.comparison.figures import seeds as seeds_figure
from jaxattn.comparison.outcomes import outcomes
from jaxattn.comparison.statistics import t_interval
from jaxattn.comparison.verdict import judge
from jaxattn.config import Config

HERE = Path(__file__).parent
SHOWN_SEED, SHOWN_IMAGES = 1, 8
FILES = ("metrics.jsonl", "knockout.json", "gates.json", "gates_by_image.json", "result.json")  # the last one written
HEADER = ("variant", "n", "mean, %", "sd", "difference, points", "interval", "p", "corrected", "better")


class Study(NamedTuple):
    """Variants, the baseline first; the number of seeds of each; studies whose runs it shares."""

    variants: tuple[str, ...]
    seeds: int
    shares: tuple[str, ...] = ()


STUDIES = {
    "verdict": Study(("none", "se", "constant", "wide:se"), 8),
    "where": Study(("none", "se", "se@1", "se@2", "se@3", "se:position=after"), 6, ("verdict",)),
    "table": Study(
        ("none", "se", "constant", "wide:se", "eca", "cbam", "channel", "spatial", "simam", "coord", "gc", "ge", "bam",
         "srm", "triplet", "nosqueeze"),
        6, ("verdict",),
    ),
}  # fmt: skip


def folder_name(variant, seed):
    """The folder of a run, such as "se@1-s0"; colons become hyphens."""
    return f"{variant.replace(':', '-')}-s{seed}"


def kept(study, variant, seed):
    """The folder of a run, in the study's own folder or in that of one whose runs it shares; None if there is none."""
    places = (HERE / name / folder_name(variant, seed) for name in (study, *STUDIES[study].shares))
    return next((place for place in places if (place / "result.json").exists()), None)


def train(study, variant, seed, data_dir, work):
    """Trains one run, unless its result exists, and keeps its small files."""
    if kept(study, variant, seed):
        return
    out = work / folder_name(variant, seed)
    common_settings = Config(dataset="cifar10", data_dir=data_dir)
    config = variants.config_of(variants.parse(variant), common_settings, seed)
    command = [sys.executable, "-m", "jaxattn.train", "--attention", config.attention, "--seed", str(seed)]
    for name, value in variants.parse(variant).settings.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    command += ["--dataset", "cifar10", "--data-dir", data_dir, "--no-report", "--out", str(out)]
    subprocess.run(command, check=True)
    examine(out, seed)
    place = HERE / study / out.name
    place.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        if (out / file).exists():
            shutil.copy(out / file, place)
    shutil.rmtree(out)


def examine(out, seed):
    """Writes the knock-out, the vital signs and, for one seed, the weights of a run's gates."""
    from jaxattn import load_run
    from jaxattn.comparison.predictions import predictions
    from jaxattn.comparison.results import finished_or_none
    from jaxattn.comparison.vital_signs import vital_signs
    from jaxattn.explain.knockout import accuracy_lost
    from jaxattn.runs.data import read_test

    run, test = finished_or_none(out), read_test(out)
    predicted = predictions(run, test)
    (out / "knockout.json").write_text(json.dumps(accuracy_lost(predicted, test.labels), indent=1) + "\n")
    vital_signs({"run": {0: run}}, {"run": {0: predicted}}, test)
    if seed == SHOWN_SEED and len(predicted) > 1:
        weights = gates_by_image(load_run(out), test)
        (out / "gates_by_image.json").write_text(json.dumps(weights, separators=(",", ":")) + "\n")


def gates_by_image(run, test):
    """The weights of each gate for the first test image of each of the first eight classes.

    For each gate, `channels` [8, C] are means over positions, and `positions` [8, h, w] are means over channels; None
    if it does not weight them.
    """
    from jaxattn.explain.explanation import Explanation

    images = [int((test.labels == label).argmax()) for label in range(SHOWN_IMAGES)]
    gates = {}
    for name, gate in Explanation(run, test.images[images]).gates.items():
        channels = gate.mean(axis=(1, 2), dtype=float).round(3).tolist() if gate.shape[3] > 1 else None
        positions = gate.mean(axis=3, dtype=float).round(3).tolist() if gate.shape[1:3] != (1, 1) else None
        gates[str(name)] = {"channels": channels, "positions": positions}
    return {"images": images, "classes": list(run.classes[:SHOWN_IMAGES]), "gates": gates}


def results(study):
    """The results of a study's finished runs, by variant and seed."""
    plan = STUDIES[study]
    finished = {}
    for variant in plan.variants:
        places = {seed: kept(study, variant, seed) for seed in range(plan.seeds)}
        finished[variant] = {
            seed: json.loads((place / "result.json").read_text()) for seed, place in places.items() if place
        }
    return finished


def knockouts(study):
    """Points of accuracy lost with replaced gates, by variant and condition: an array of the seeds of each."""
    plan, lost = STUDIES[study], {}
    for variant in plan.variants:
        places = filter(None, (kept(study, variant, seed) for seed in range(plan.seeds)))
        runs = [json.loads((place / "knockout.json").read_text()) for place in places]
        lost[variant] = {condition: np.array([run[condition] for run in runs]) for condition in runs[0]} if runs else {}
    return lost


def row(variant, difference):
    cells = [variant.name, str(variant.n), *("–" if one is None else f"{100 * one:.2f}" for one in variant[-2:])]
    if difference is None:
        return [*cells, *["–"] * 5]
    ends = "–" if difference.interval is None else "{:+.3f} to {:+.3f}".format(*difference.interval)
    p, corrected = ("–" if value is None else f"{value:.3f}" for value in (difference.p, difference.corrected))
    return [*cells, f"{difference.mean:+.2f}", ends, p, corrected, f"{difference.wins:.0%}"]


def show(study, figure):
    """Prints the table, the sentences and the other outcomes of the finished runs."""
    plan, finished = STUDIES[study], results(study)
    accuracies = {
        name: {seed: one["test_accuracy"] for seed, one in by_seed.items()} for name, by_seed in finished.items()
    }
    table = judge(accuracies, plan.variants[0], (plan.seeds,), images=10_000)
    print(f"{sum(map(len, finished.values()))} of {len(plan.variants) * plan.seeds} runs are finished\n")
    print("\n".join(common.table(HEADER, [row(line.variant, line.difference) for line in table.rows])), "\n")
    print("\n".join(f"* `{line.variant.name}` {line.verdict.text}" for line in table.rows if line.verdict), "\n")
    for name, rows in outcomes(finished, plan.variants[0], False).items():
        cells = (f"{one.name} {one.mean:+.3f} ({one.low:+.3f} to {one.high:+.3f})" for one in rows)
        print(f"{name}: {'; '.join(cells)}")
    print("\nall pairs: " + "; ".join(f"{one.name} {one.mean:+.2f} ({one.low:+.2f} to {one.high:+.2f})"
                                      for one in pairs(accuracies)))  # fmt: skip
    print("\nknock-out, points lost (95 %, each alone):")
    for name, conditions in knockouts(study).items():
        for condition, lost in conditions.items():
            print(f"{name}, {condition}: {lost.mean():.2f}", "({:.2f} to {:.2f})".format(*t_interval(lost)))
    if figure:
        seeds_figure(accuracies, f"cifar10, recipe standard, {plan.seeds} seeds").savefig(figure, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("train", "print"))
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--data-dir", help="folder of CIFAR-10")
    parser.add_argument("--work", type=Path, help="folder for runs that are not finished")
    parser.add_argument("--figure", help="PNG file of every seed")
    flags = parser.parse_args()
    if flags.what == "print":
        show(flags.study, flags.figure)
        return
    if not (flags.data_dir and flags.work):
        parser.error("train needs --data-dir and --work")
    plan = STUDIES[flags.study]
    for seed in range(plan.seeds):
        for variant in plan.variants:
            train(flags.study, variant, seed, flags.data_dir, flags.work)


if __name__ == "__main__":
    main()
