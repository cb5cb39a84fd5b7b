"""Prints the tables of the recipes from the runs on JPEG copies whose files are in `experiments`.

python -m experiments.recipe-copies
"""

import json
import statistics
from pathlib import Path

import jax
import numpy as np

from experiments import common
from jaxattn.attention.cost import cost
from jaxattn.comparison.statistics import t_interval
from jaxattn.networks import create

HERE = Path(__file__).parent
TARGETS = (0.80, 0.8468, 0.8538)  # validation accuracy
IMAGE = (32, 32, 3)
# Where the runs of a recipe are, in `experiments`.
RECIPES = {
    "original": ("original/original-se-s0", "verdict-original/se-s*"),
    "adamw-50": ("original/adamw-50-se-s*",),
    "standard": ("verdict-copies/se-s*",),
    "standard, all images": ("recipe-copies/all-se-s*",),
}
SUBJECTS = {"original": "jaxattn", "adamw-50": "adamw-50", "standard": "standard"}  # of the benchmark
REACHED = (
    "recipe",
    "n",
    "seconds of an epoch",
    *(f"{what} to {target:.2%}" for target in TARGETS for what in ("epochs", "seconds", "10^12")),
)
# What is left out of `standard`: folders, flags.
ABLATION = {
    "Muon for the hidden layer (SGD instead)": ("no-muon", "--muon-rate 0"),
    "whitening start of the first convolution": ("pytorch-first", "--first-conv pytorch"),
    "dirac start of the others": ("pytorch-later", "--later-convs pytorch"),
    "norm biases' larger rate": ("bias-rate-1", "--norm-bias-rate 1"),
    "label smoothing": ("no-smoothing", "--label-smoothing 0"),
    "moving average of the weights": ("no-ema", "--ema 0"),
    "alternating flips (random instead)": ("random-flips", "--flips random"),
    "crops of 2 pixels (4 instead)": ("padding-4", "--crop-padding 4"),
}
LEFT_OUT = (
    *("left out of `standard`", "flag", "n", "epochs to 80 %", "epochs to 84.68 %"),
    *("validation accuracy", "brings", "test accuracy", "brings"),
)
FINAL = ("recipe", "n", "epochs", "images", "test accuracy, % (mean ± sd)", "with flips at test time")


def runs(recipe):
    """The result and the metrics of each run of a recipe with squeeze-and-excitation."""
    for folder in (folder for pattern in RECIPES[recipe] for folder in sorted(HERE.parent.glob(pattern))):
        yield json.loads((folder / "result.json").read_text()), _lines(folder)


def _lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def first_epoch(lines, target):
    """The first epoch with at least this accuracy on the monitored split; None if there is none."""
    return next((line["epoch"] for line in lines if line.get("val_accuracy", 0) >= target), None)


def reached(recipe, per_image, seconds):
    """The cells of a recipe: epochs, seconds and 10^12 multiply-adds to each target, medians over runs that reach it.

    Seconds are epochs times the `seconds` of one in the benchmark. A step takes three times the multiply-adds of a
    forward pass.
    """
    finished = list(runs(recipe))
    cells = []
    for target in TARGETS:
        epochs = [first_epoch(lines, target) for _, lines in finished]
        work = images_of(finished[0][0]) * 3 * per_image / 1e12
        for scale, form in ((1, ".3g"), (seconds, ",.0f"), (work, ".3g")):
            cells.append(_median([None if epoch is None else epoch * scale for epoch in epochs], form))
    return [recipe, str(len(finished)), f"{seconds:.1f}", *cells]


def left_out(what):
    """The cells of an ingredient that was left out: accuracies, and what it brings, paired by seed."""
    name, flag = ABLATION[what]
    seeds = sorted(folder.name.rpartition("-s")[2] for folder in HERE.glob(f"without-{name}-s[0-9]"))
    histories = [_lines(HERE / f"without-{name}-s{seed}") for seed in seeds]
    cells = [_median([first_epoch(lines, target) for lines in histories], ".3g") for target in TARGETS[:2]]
    for accuracy in (_last_validation, _test):
        without = [accuracy(HERE / f"without-{name}-s{seed}") for seed in seeds]
        paired = np.subtract([accuracy(HERE.parent / "verdict-copies" / f"se-s{seed}") for seed in seeds], without)
        low, high = 100 * t_interval(paired)
        cells += [_mean(without), f"{100 * paired.mean():+.2f} ({low:+.2f} to {high:+.2f})"]
    return [what, f"`{flag}`", str(len(seeds)), *cells]


def _last_validation(folder):
    return _lines(folder)[-1]["val_accuracy"]


def _test(folder):
    return json.loads((folder / "result.json").read_text())["test_accuracy"]


def images_of(result):
    """Training images of a run: all of them if the test set or nothing is monitored."""
    return 45_000 if result["monitored"] == "validation" else 50_000


def _median(values, form):
    kept = [value for value in values if value is not None]
    if not kept:
        return "–"
    return f"{statistics.median(kept):{form}}" + (
        "" if len(kept) == len(values) else f" ({len(kept)} of {len(values)})"
    )


def final(recipe):
    """The cells of a recipe's results on the test set."""
    results = [result for result, _ in runs(recipe)]
    flips = [result["test_accuracy_with_flips"] for result in results if "test_accuracy_with_flips" in result]
    images = f"{images_of(results[0]):,}"
    return [
        recipe,
        str(len(results)),
        str(results[0]["epochs"]),
        images,
        _mean([r["test_accuracy"] for r in results]),
        _mean(flips),
    ]


def _mean(values):
    if not values:
        return "–"
    spread = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.2f}{spread}"


if __name__ == "__main__":
    model = create("se", 16, IMAGE)
    with jax.default_device(jax.devices("cpu")[0]):
        per_image = cost(model, IMAGE).multiply_adds
    benchmark = json.loads((HERE.parent / "benchmark" / "result.json").read_text())
    seconds = {name: statistics.median(benchmark["epoch"][subject]) for name, subject in SUBJECTS.items()}
    print("\n".join(common.table(REACHED, (reached(name, per_image, seconds[name]) for name in SUBJECTS))))
    tutorial = statistics.median(benchmark["epoch"]["channels_last"])
    print(f"\nThe tutorial's program in PyTorch: {tutorial:.1f} s an epoch, {common.on(benchmark['machine'])}.\n")
    print("\n".join(common.table(FINAL, map(final, RECIPES))))
    print()
    print("\n".join(common.table(LEFT_OUT, map(left_out, ABLATION), text_columns=2)))
