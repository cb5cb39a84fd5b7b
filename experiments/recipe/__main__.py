"""Trains candidates for a recipe on the held-out split, then the chosen ones on all images, and prints their accuracy.

    nice -n 19 python -m experiments.recipe --data-dir DIR --work WORK      # resumes after a stop
    python -m experiments.recipe --print

Candidates are trained with seeds 0 to 2 and chosen by validation accuracy; the test set chooses nothing. Finished runs
leave `result.json` and `metrics.jsonl` in `experiments/recipe`.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from experiments import common

HERE = Path(__file__).parent
TARGETS = (0.80, 0.8468, 0.8538)  # the tutorials' accuracies among them
QUICK = "--epochs 4 --warmup-epochs 1"
QUICK_RUNS = "tuning/quick-padding-1-warm-0.5-s[0-9]"  # of the recipe quick
OF_QUICK = "--epochs 4 --warmup-epochs 0.5 --crop-padding 1"
CANDIDATES = {
    "quick": QUICK,
    "quick-warm-0.5": "--epochs 4 --warmup-epochs 0.5",
    "quick-rate-0.2": f"{QUICK} --learning-rate 0.2",
    "quick-batch-64": f"{QUICK} --batch-size 64 --learning-rate 0.08",
    "quick-ema-0.99": f"{QUICK} --ema 0.99",
    "quick-muon-0.03": f"{QUICK} --muon-rate 0.03",
    "quick-smoothing-0.2": f"{QUICK} --label-smoothing 0.2",
    "quick-bias-32": f"{QUICK} --norm-bias-rate 32",
    "quick-muon-decay-0.1": f"{QUICK} --muon-decay 0.1",
    "quick-padding-1": f"{QUICK} --crop-padding 1",
    "quick-padding-1-warm-0.5": "--epochs 4 --warmup-epochs 0.5 --crop-padding 1",
    "quick-padding-1-ema-0.99": f"{QUICK} --crop-padding 1 --ema 0.99",
    "quick-padding-1-warm-0.5-ema-0.99": "--epochs 4 --warmup-epochs 0.5 --crop-padding 1 --ema 0.99",
    "quick-padding-1-warm-0.5-rate-0.2": "--epochs 4 --warmup-epochs 0.5 --crop-padding 1 --learning-rate 0.2",
    "quick-padding-1-warm-0.5-rate-0.2-ema-0.99": "--epochs 4 --warmup-epochs 0.5 --crop-padding 1 "
    "--learning-rate 0.2 --ema 0.99",
    "quick-padding-1-warm-0.2": "--epochs 4 --warmup-epochs 0.2 --crop-padding 1",
    "quick-padding-1-warm-0.5-bias-32": "--epochs 4 --warmup-epochs 0.5 --crop-padding 1 --norm-bias-rate 32",
    "recipe-padding-0": f"{OF_QUICK} --crop-padding 0",
    "recipe-decay-1e-3": f"{OF_QUICK} --weight-decay 1e-3",
    "recipe-smoothing-0.05": f"{OF_QUICK} --label-smoothing 0.05",
    "recipe-ema-0.99-decay-1e-3": f"{OF_QUICK} --ema 0.99 --weight-decay 1e-3",
    "recipe-ema-0.99-rate-0.16": f"{OF_QUICK} --ema 0.99 --learning-rate 0.16",
    "recipe-ema-0.99-momentum-0.85-rate-0.2": f"{OF_QUICK} --ema 0.99 --momentum 0.85 --learning-rate 0.2",
    "recipe-ema-0.99-muon-0.02": f"{OF_QUICK} --ema 0.99 --muon-rate 0.02",
    "recipe-ema-0.99-batch-96": f"{OF_QUICK} --ema 0.99 --batch-size 96 --learning-rate 0.1",
    "recipe-pytorch-first": f"{OF_QUICK} --first-conv pytorch",
    "standard": "",
    "standard-warm-1": "--warmup-epochs 1",
    "standard-warm-1-cutout-6": "--warmup-epochs 1 --cutout 6",
    "standard-warm-1-padding-3": "--warmup-epochs 1 --crop-padding 3",
    "standard-warm-1-dropout-0.2": "--warmup-epochs 1 --dropout 0.2",
    "standard-rate-0.2": "--learning-rate 0.2",
    "standard-muon-0.03": "--muon-rate 0.03",
    "standard-decay-1e-3": "--weight-decay 1e-3",
    "standard-batch-64": "--batch-size 64 --learning-rate 0.08",
    "standard-padding-1": "--crop-padding 1",
    "standard-padding-3": "--crop-padding 3",
    "standard-smoothing-0.05": "--label-smoothing 0.05",
    "standard-ema-0.99": "--ema 0.99",
    "standard-dropout-0.2": "--dropout 0.2",
    "standard-cutout-8": "--cutout 8",
}
FINAL = {"quick-all": "--recipe quick --validation 0", "standard-all": "--validation 0"}
SEEDS = {"tuning": 3, "final": 5}


def train(kind, name, seed, data_dir, work):
    """Trains one run of a kind, "tuning" or "final", unless its result is there."""
    kept = HERE / kind / f"{name}-s{seed}"
    if (kept / "result.json").exists():
        return
    out = work / kept.name
    command = [sys.executable, "-m", "jaxattn.train", "--attention", "se", "--seed", str(seed), "--no-report"]
    command += ["--dataset", "cifar10", "--data-dir", data_dir, "--out", str(out)]
    command += {**CANDIDATES, **FINAL}[name].split()
    subprocess.run(command, check=True)
    kept.mkdir(parents=True, exist_ok=True)
    for file in ("metrics.jsonl", "result.json"):
        shutil.copy(out / file, kept)
    shutil.rmtree(out / "checkpoints")


def accuracies(pattern, key="val_accuracy"):
    """Percent by seed of the finished runs in folders such as "tuning/quick-s*": of the last epoch, or of the test."""
    by_seed = {}
    for folder in HERE.glob(pattern):
        result = json.loads((folder / "result.json").read_text())
        last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
        by_seed[result["seed"]] = 100 * (last if key in last else result)[key]
    return by_seed


def row(flags, values, reference):
    """The cells of a candidate; validation images differ by seed, so that it is compared in the same seeds."""
    both = values.keys() & reference.keys()
    change = f"{statistics.mean(values[seed] - reference[seed] for seed in both):+.2f}" if both else "–"
    return [f"`{flags}`" if flags else "as it is", str(len(values)), mean(values), change]


def show():
    """Prints the tables of `README.md`."""
    references = {"quick": QUICK_RUNS, "recipe": QUICK_RUNS, "standard": "../verdict/se-s*"}
    rows = []
    for name, flags in CANDIDATES.items():
        pattern = f"tuning/{name}-s[0-9]" if flags else references[name]
        if values := accuracies(pattern):
            rows.append(row(flags, values, accuracies(references[name.partition("-")[0]])))
    print("\n".join(common.table(("flags", "n", "validation accuracy, %", "less its reference, points"), rows)), "\n")
    results = {"standard": "../verdict/se-s*"} | {flags: f"final/{name}-s*" for name, flags in FINAL.items()}
    rows = [
        [name, str(len(values)), mean(values)]
        for name, pattern in results.items()
        if (values := accuracies(pattern, "test_accuracy"))
    ]
    print("\n".join(common.table(("recipe", "n", "test accuracy, %"), rows)), "\n")
    runs = [path.read_text().splitlines() for path in HERE.glob("../verdict/se-s*/metrics.jsonl")]
    for target in TARGETS:
        epochs = [next(one["epoch"] for one in map(json.loads, run) if one["val_accuracy"] >= target) for run in runs]
        print(f"standard: {target:.2%} after {statistics.median(epochs):g} epochs, n = {len(epochs)}")


def mean(values):
    """Mean and standard deviation of percent by seed."""
    spread = f" (sd {statistics.stdev(values.values()):.2f})" if len(values) > 1 else ""
    return f"{statistics.mean(values.values()):.2f}{spread}"


def main():
    parser = argparse.ArgumentParser(description="Trains candidates for a recipe, or the chosen ones on all images.")
    parser.add_argument("--data-dir", help="folder of CIFAR-10")
    parser.add_argument("--work", type=Path, help="folder for the runs")
    parser.add_argument("--only", default="", help="only those whose names start with this")
    parser.add_argument("--print", action="store_true", help="print the existing results, and train nothing")
    flags = parser.parse_args()
    if not (flags.print or (flags.data_dir and flags.work)):
        parser.error("training needs --data-dir and --work")
    for kind, names in ({} if flags.print else {"tuning": CANDIDATES, "final": FINAL}).items():
        for seed in range(SEEDS[kind]):
            for name in names:
                if name.startswith(flags.only):
                    train(kind, name, seed, flags.data_dir, flags.work)
    show()


if __name__ == "__main__":
    main()
