"""Prints the table of the runs whose files are in this folder, as Markdown.

python -m experiments.original
"""

import json
from pathlib import Path

from experiments import common

HEADER = ("recipe", "attention", "seed", "epochs", "tested epoch", "validation accuracy", "test accuracy")


def row(folder):
    """The cells of one run, whose folder is `<recipe, with its changes>-<attention>-s<seed>`.

    If the test set was monitored, there is no validation accuracy.
    """
    result = json.loads((folder / "result.json").read_text())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    validation = "–" if result["monitored"] == "test" else f"{lines[result['tested_epoch'] - 1]['val_accuracy']:.2%}"
    recipe = folder.name.removesuffix(f"-{result['attention']}-s{result['seed']}")
    names = ("attention", "seed", "epochs", "tested_epoch")
    return [recipe, *(str(result[name]) for name in names), validation, f"{result['test_accuracy']:.2%}"]


if __name__ == "__main__":
    folders = sorted(path.parent for path in Path(__file__).parent.glob("*/result.json"))
    print("\n".join(common.table(HEADER, map(row, folders), text_columns=len(HEADER))))
