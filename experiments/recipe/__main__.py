"""Prints the tables of the recipes from the runs whose files are in `experiments`.

python -m experiments.recipe
"""

import json
import statistics
from pathlib import Path

import jax

from experiments import common
from jaxattn.attention.cost import cost
from jaxattn.networks import create

HERE = Path(__file__).parent
TARGETS = (0.80, 0.8468, 0.8538)  # validation accuracy
IMAGE = (32, 32, 3)
# Where the runs of a recipe are: folders of these names and seeds.
RECIPES = {
    "original": HERE.parent / "original" / "original-se",
    "adamw-50": HERE.parent / "original" / "adamw-50-se",
    "standard": HERE.parent / "verdict" / "se",
    "standard, all images": HERE / "all-se",
}
REACHED = (
    "recipe",
    "n",
    *(f"epochs to {target:.2%}" for target in TARGETS),
    *(f"10^12 to {target:.2%}" for target in TARGETS),
)
FINAL = ("recipe", "n", "epochs", "images", "test accuracy, % (mean ± sd)", "with flips at test time")


def runs(recipe):
    """The result and the metrics of each run of a recipe with squeeze-and-excitation."""
    path = RECIPES[recipe]
    for folder in sorted(path.parent.glob(f"{path.name}-s[0-9]*")):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        yield json.loads((folder / "result.json").read_text()), lines


def first_epoch(lines, target):
    """The first epoch of at least this accuracy on the monitored split; None where there is none."""
    return next((line["epoch"] for line in lines if line.get("val_accuracy", 0) >= target), None)


def reached(recipe, per_image):
    """The cells of a recipe: epochs and 10^12 multiply-adds to each target, medians over the runs that reach it.

    A step takes three times the multiply-adds of a forward pass.
    """
    found = list(runs(recipe))
    images = images_of(found[0][0])
    cells = [[first_epoch(lines, target) for _, lines in found] for target in TARGETS]
    epochs = [_median(column) for column in cells]
    work = [
        _median([None if epoch is None else epoch * images * 3 * per_image / 1e12 for epoch in column])
        for column in cells
    ]
    return [recipe, str(len(found)), *epochs, *work]


def images_of(result):
    """Training images of a run: all where the test set or nothing is monitored."""
    return 45_000 if result["monitored"] == "validation" else 50_000


def _median(values):
    kept = [value for value in values if value is not None]
    if not kept:
        return "–"
    return f"{statistics.median(kept):.3g}" + ("" if len(kept) == len(values) else f" ({len(kept)} of {len(values)})")


def final(recipe):
    """The cells of a recipe's results on the test set."""
    found = [result for result, _ in runs(recipe)]
    flips = [result["test_accuracy_with_flips"] for result in found if "test_accuracy_with_flips" in result]
    images = f"{images_of(found[0]):,}"
    return [
        recipe,
        str(len(found)),
        str(found[0]["epochs"]),
        images,
        _mean([r["test_accuracy"] for r in found]),
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
    names = [name for name in RECIPES if any(runs(name))]
    print("\n".join(common.table(REACHED, (reached(name, per_image) for name in names))))
    print()
    print("\n".join(common.table(FINAL, map(final, names))))
