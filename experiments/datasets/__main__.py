"""Trains the tutorial's network on other images, with and without attention, and prints what that takes.

    python -m experiments.datasets --data-dir DIR --fashion-mnist DIR --folder DIR --work WORK  # resumes after a stop
    python -m experiments.datasets --print

`result.json`, `metrics.jsonl` and `memory.json` of each run are kept in `experiments/datasets`. There is one run each:
to find out what a module brings, use `jaxattn compare` with several seeds.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from experiments import common

HERE = Path(__file__).parent
DATASETS = ("cifar100", "fashion-mnist", "folder")
HEADER = ("data set", "attention", "classes", "images", "test accuracy, %", "minutes of training", "memory, GB")


def train(name, attention, flags):
    """Trains one run, unless its result exists."""
    kept = HERE / f"{name}-{attention}"
    if (kept / "result.json").exists():
        return
    out = flags.work / kept.name
    dataset = f"folder:{flags.folder}" if name == "folder" else name
    command = [sys.executable, "-m", "jaxattn.train", "--attention", attention, "--recipe", "quick", "--no-report"]
    command += ["--dataset", dataset, "--out", str(out)]
    if name != "folder":
        command += ["--data-dir", flags.data_dir if name == "cifar100" else flags.fashion_mnist]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{out} failed")
    kept.mkdir(parents=True, exist_ok=True)
    for file in ("metrics.jsonl", "result.json"):
        shutil.copy(out / file, kept)
    result = json.loads((kept / "result.json").read_text())
    result["dataset"] = "folder:DIR" if name == "folder" else name  # without its path on this machine
    (kept / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    (kept / "memory.json").write_text(json.dumps({"peak_kilobytes": usage.ru_maxrss}) + "\n")


def row(name, attention):
    folder = HERE / f"{name}-{attention}"
    result = json.loads((folder / "result.json").read_text())
    memory = json.loads((folder / "memory.json").read_text())["peak_kilobytes"] / 1e6
    images = sum(result["train_images_by_class"])
    cells = [name, attention, str(len(result["train_images_by_class"])), f"{images:,} + {result['test_images']:,}"]
    return [*cells, f"{100 * result['test_accuracy']:.2f}", f"{result['seconds'] / 60:.1f}", f"{memory:.1f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder of CIFAR-100")
    parser.add_argument("--fashion-mnist", metavar="DIR", help="folder with a folder fashion-mnist of the four files")
    parser.add_argument("--folder", help="CIFAR-10 as a folder of PNG files, one folder a class")
    parser.add_argument("--work", type=Path, help="folder for the runs")
    parser.add_argument("--print", action="store_true", help="print the existing results, and train nothing")
    flags = parser.parse_args()
    runs = [(name, attention) for name in DATASETS for attention in ("none", "se")]
    for run in runs if not flags.print else ():
        train(*run, flags)
    done = [run for run in runs if (HERE / "-".join(run) / "result.json").exists()]
    print("\n".join(common.table(HEADER, [row(*run) for run in done])))


if __name__ == "__main__":
    main()
