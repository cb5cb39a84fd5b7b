"""Judges finished runs from their `result.json` alone, and draws every seed.

python -m experiments.verdict-copies [RUN ...] [--planned 8] [--figure FILE]

The rule is that of `jaxattn compare`, whose page needs the whole run folders.
"""

import argparse
import json
from pathlib import Path

from experiments import common
from experiments.studies import HEADER, row
from jaxattn.comparison.figures import seeds
from jaxattn.comparison.verdict import judge

FIRST = ("none", "se")


def finished(folders):
    """The results of run folders, which must have one recipe, and be one for each attention and seed."""
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    recipes = {run["recipe"] for run in results}
    if len(recipes) != 1 or len({(run["attention"], run["seed"]) for run in results}) < len(results):
        raise SystemExit("name runs of one recipe, one of each attention and seed")
    return results


def accuracies(results):
    """Test accuracies (fractions) by variant, the baseline first, and seed."""
    names = sorted({run["attention"] for run in results}, key=lambda name: (name not in FIRST, name))
    return {name: {run["seed"]: run["test_accuracy"] for run in results if run["attention"] == name} for name in names}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, help="run folders; by default those beside this file")
    parser.add_argument("--planned", type=int, default=8, help="seeds that were planned for each variant")
    parser.add_argument("--figure", help="PNG file to draw")
    arguments = parser.parse_args()
    results = finished(arguments.runs or sorted(path.parent for path in Path(__file__).parent.glob("*/result.json")))
    runs, recipe = accuracies(results), results[0]["recipe"]
    rows = judge(runs, "none", (arguments.planned,)).rows
    print("\n".join(common.table(HEADER, [row(line.variant, line.difference) for line in rows])), "\n")
    print("\n".join(f"`{line.variant.name}` {line.verdict.text}" for line in rows if line.verdict))
    if arguments.figure:
        seeds(runs, f"cifar10, recipe {recipe}, {arguments.planned} seeds").savefig(arguments.figure, dpi=150)


if __name__ == "__main__":
    main()
