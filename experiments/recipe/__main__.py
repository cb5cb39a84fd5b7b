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

HERE = Path(__file__).parent
TARGETS = (0.80, 0.8468, 0.8538)  # the tutorials' accuracies among them
QUICK = "--epochs 4 --warmup-epochs 1"
OF_QUICK = "--recipe quick"
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
    command += [
        "--dataset",
        "cifar10",
        "--data-dir",
        data_dir,
        "--out",
        str(out),
        *{**CANDIDATES, **FINAL}[name].split(),
    ]
    subprocess.run(command, check=True)
    kept.mkdir(parents=True, exist_ok=True)
    for file in ("metrics.jsonl", "result.json"):
        shutil.copy(out / file, kept)
    shutil.rmtree(out / "checkpoints")


def lines(kind, name):
    """The metrics of each finished run of a name: a list of epochs each."""
    files = sorted((HERE / kind).glob(f"{name}-s[0-9]/metrics.jsonl"))
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in files]


def show():
    """Prints accuracies, with n and the standard deviation, and after how many epochs `standard` reaches targets."""
    for name, flags in CANDIDATES.items():
        if values := [epochs[-1]["val_accuracy"] for epochs in lines("tuning", name)]:
            print(f"{name:42} {mean(values)} of the validation images, {flags or 'as it is'}")
    results = {
        "standard": HERE.parent.glob("verdict/se-s*/result.json"),
        **{name: HERE.glob(f"final/{name}-s*/result.json") for name in FINAL},
    }
    for name, files in results.items():
        if values := [json.loads(file.read_text())["test_accuracy"] for file in files]:
            print(f"{name:42} {mean(values)} of the test images, {FINAL.get(name, 'as it is')}")
    runs = lines("../verdict", "se")
    for target in TARGETS:
        reached = [next((line["epoch"] for line in run if line["val_accuracy"] >= target), None) for run in runs]
        known = [epoch for epoch in reached if epoch]
        print(f"standard: {target:.2%} after {statistics.median(known)} epochs, {len(known)} of {len(runs)} runs")


def mean(values):
    """Percent, with n and the standard deviation."""
    spread = f" (sd {100 * statistics.stdev(values):.2f})" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.2f} %{spread}, n = {len(values)},"


def main():
    parser = argparse.ArgumentParser(description="Trains candidates for a recipe, or the chosen ones on all images.")
    parser.add_argument("--data-dir", help="folder of CIFAR-10")
    parser.add_argument("--work", type=Path, help="folder for the runs")
    parser.add_argument("--only", default="", help="only those whose names start with this")
    parser.add_argument("--print", action="store_true", help="print the existing results, and train nothing")
    flags = parser.parse_args()
    for kind, names in ({} if flags.print else {"tuning": CANDIDATES, "final": FINAL}).items():
        for seed in range(SEEDS[kind]):
            for name in names:
                if name.startswith(flags.only):
                    train(kind, name, seed, flags.data_dir, flags.work)
    show()


if __name__ == "__main__":
    main()
