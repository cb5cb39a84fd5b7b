"""Trains each attention module once, briefly, so that its page can show what its gates do.

nice -n 19 python -m experiments.gates --data-dir DIR --work WORK
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from experiments.studies import gates_by_image
from jaxattn import load_run
from jaxattn.attention import ATTENTION
from jaxattn.runs.data import read_test

HERE = Path(__file__).parent


def train(name, data_dir, work):
    """Trains a module, unless it is done, and keeps its result and its weights for eight images."""
    place, out = HERE / f"{name}-s0", work / f"{name}-s0"
    if (place / "result.json").exists():
        return
    command = [sys.executable, "-m", "jaxattn.train", "--attention", name, "--recipe", "quick", "--no-report"]
    subprocess.run([*command, "--dataset", "cifar10", "--data-dir", data_dir, "--out", str(out)], check=True)
    weights = gates_by_image(load_run(out), read_test(out))
    place.mkdir(exist_ok=True)
    if weights["gates"]:
        (place / "gates_by_image.json").write_text(json.dumps(weights, separators=(",", ":")) + "\n")
    shutil.copy(out / "result.json", place)
    shutil.rmtree(out)


def main():
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", required=True, help="where CIFAR-10 is")
    parser.add_argument("--work", type=Path, required=True, help="folder for the run folders")
    parser.add_argument("--modules", nargs="+", default=[*ATTENTION][1:], help="default: all")
    flags = parser.parse_args()
    for name in flags.modules:
        train(name, flags.data_dir, flags.work)


if __name__ == "__main__":
    main()
