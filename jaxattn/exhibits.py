"""What a report shows of a run: its numbers, tables and small pictures, as plain dicts for the template."""

import dataclasses
import shlex
from typing import Any

import numpy as np
from scipy import stats

from jaxattn import pixels, scores
from jaxattn.attention import resolve
from jaxattn.charts import Line, chart
from jaxattn.config import RECIPES, Config
from jaxattn.pictures import Study
from jaxattn.plots import score_table
from jaxattn.plots.gate_profiles import CONSTANT, gate_limits
from jaxattn.plots.mistakes import least_sure, worst_mistakes
from jaxattn.records import Pictures
from jaxattn.run import Run

SHOWN = 8  # mistakes, and least sure answers
NUMBERS = 20  # classes up to which the confusion matrix is a table of numbers
CONFUSIONS = 5  # that are told in words

READING = {
    "object_share": "Share of the map's light that falls on the object. Chance is the share of the picture that the "
    "object covers.",
    "pointing": "How often the brightest place of the map lies on the object.",
    "deletion": "Mean probability of the answer while the map's brightest pixels are greyed out first. Low is good: "
    "the map pointed at what the network used.",
    "insertion": "Mean probability of the answer while the map's brightest pixels come first into a blurred picture. "
    "High is good: they are enough to be sure by.",
    "agreement": "Likeness (rank correlation) to the same map from a network of random weights. Near 0 is good; near "
    "1 the map shows the picture itself, whatever was learned.",
}
KINDS = {
    "chance": "Pixels in random order: what a map must beat.",
    "Grad-CAM": "Evidence for the answer; each channel has one weight for the whole picture.",
    "HiResCAM": "Evidence for the answer, reckoned place by place.",
    "strongest channel": "Where the most active channel is active, whether or not it speaks for the answer.",
    "second channel": "The same of the channel that comes second.",
    "third channel": "The same of the channel that comes third.",
    "gate": "What the attention weighs up, place by place, averaged over channels.",
    "attended": "Which places self-attention looks at.",
}


def run_names(runs: list[Run]) -> list[str]:
    """Short names that tell runs apart: their attention, else with the seed, the folder's name, or the whole folder."""
    short = ["plain" if run.config.attention == "none" else run.config.attention for run in runs]
    tries = (
        short,
        [f"{name}, seed {run.config.seed}" for name, run in zip(short, runs, strict=True)],
        [run.folder.resolve().name for run in runs],
        [str(run.folder) for run in runs],
    )
    return next((names for names in tries if len(set(names)) == len(runs)), tries[-1])


def result(run: Run, tested: Pictures) -> dict[str, Any]:
    """The number that a run is about, with its interval, its chance level and what else there is to know."""
    count, right = len(tested.labels), int((tested.predicted == tested.labels).sum())
    ended = run.result is not None and run.result["tested_epoch"] == run.epoch
    accuracy = run.result["test_accuracy"] if ended else right / count
    low, high = stats.binomtest(round(accuracy * count), count).proportion_ci(method="wilson")
    return {
        "accuracy": accuracy,
        "low": low,
        "high": high,
        "count": count,
        "chance": np.bincount(tested.labels).max() / count,
        "loss": run.result["test_loss"] if ended else None,
        "calibration": scores.reliability(tested.probabilities, tested.labels).error,
        "parameters": sum(leaf.size for leaf in _leaves(run.variables["params"])),
        "epoch": run.epoch,
        "epochs": len(run.metrics),
        "planned": run.config.epochs,
        "ended": run.result is not None,
        "seconds": sum(line["seconds"] for line in run.metrics) if "seconds" in run.metrics[-1] else None,
        "steered_by_test": run.config.steer == "test",
        "made": {**(run.result or {}).get("versions", {}), "device": (run.result or {}).get("device")},
    }


def _leaves(tree):
    return [leaf for value in tree.values() for leaf in _leaves(value)] if isinstance(tree, dict) else [tree]


def curves(names: list[str], runs: list[Run], plateaus: list[list[int]]) -> list[dict[str, Any]]:
    """Charts of loss, accuracy and learning rate by epoch; the runs share each."""
    made = []
    for key, title, percent in (("loss", "Loss, nats", ""), ("accuracy", "Accuracy", "y")):
        lines = []
        for i, (name, run) in enumerate(zip(names, runs, strict=True)):
            steer = "validation" if run.config.steer == "validation" else "TEST (it steered)"
            of = f" of {name}" if len(runs) > 1 else ""
            epochs = [line["epoch"] for line in run.metrics]
            for which, label in (("train", "train"), ("val", steer)):
                values = [line[f"{which}_{key}"] for line in run.metrics]
                lines.append(Line(f"{label}{of}", epochs, values, i, which == "train"))
        made.append(chart(title, lines, "epoch", percent=percent, whole=True))
    rates = [
        Line(name, [line["epoch"] for line in run.metrics], [line["learning_rate"] for line in run.metrics], i)
        for i, (name, run) in enumerate(zip(names, runs, strict=True))
    ]
    top = max(rate for line in rates for rate in line.y) or 1
    marks = sorted({place - 0.5 for places in plateaus for place in places})
    return [*made, chart("Learning rate", rates, "epoch", {"y": (0, top)}, whole=True, marks=marks)]


def calibration(names: list[str], tested: list[Pictures]) -> dict[str, Any]:
    """The chart of accuracy by confidence."""
    lines = [Line("", [0, 1], [0, 1], -1, True)]
    for i, (name, pictures) in enumerate(zip(names, tested, strict=True)):
        found = scores.reliability(pictures.probabilities, pictures.labels)
        filled = found.count > 0
        lines.append(Line(name, found.confidence[filled].tolist(), found.accuracy[filled].tolist(), i))
    return chart(
        "Fraction right, by confidence", lines, "confidence of the answer", {"x": (0, 1), "y": (0, 1)}, percent="xy"
    )


def confusion(tested: Pictures) -> dict[str, Any]:
    """Shares of each class by what it was taken for, each class's accuracy, and the worst confusions."""
    classes = tested.classes
    counts = scores.confusion(tested.predicted, tested.labels, len(classes))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    accuracy, interval = scores.per_class_accuracy(counts)
    wrong = np.where(np.eye(len(classes), dtype=bool), 0, shares)
    worst = [np.unravel_index(i, wrong.shape) for i in np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]]
    seen = counts.any(axis=1)
    return {
        "shares": shares.tolist() if len(classes) <= NUMBERS else None,
        "image": None if len(classes) <= NUMBERS else pixels.coloured(shares),
        "classes": [
            {"name": name, "accuracy": a, "low": low, "high": high, "count": int(n)}
            for name, a, (low, high), n in zip(classes, accuracy, interval, counts.sum(axis=1), strict=True)
        ],
        "worst": [(classes[i], classes[j], wrong[i, j]) for i, j in worst if wrong[i, j] > 0],
        "best": classes[int(np.where(seen, accuracy, -1).argmax())],
        "hardest": classes[int(np.where(seen, accuracy, 2).argmin())],
    }


def atlas(study: Study) -> list[dict[str, Any]]:
    """Mean gate of each class by channel, and whether the gate looks at the picture at all."""
    profiles = study.gate_profiles
    if not profiles:
        return []
    limits = gate_limits(profiles.values())
    made = []
    for gate, weights in profiles.items():
        order = np.argsort(weights.mean(axis=0), kind="stable")
        means = scores.class_means(weights, study.studied_labels, len(study.classes))[:, order]
        made.append(
            {
                "gate": gate,
                "channels": len(order),
                "image": pixels.coloured(means, limits),
                "limits": limits,
                "low": float(weights.mean(axis=0).min()),
                "high": float(weights.mean(axis=0).max()),
                "spread": (found := scores.spread(weights, study.studied_labels))._asdict(),
                "constant": found.between_pictures < CONSTANT,
            }
        )
    return made


def formula(attention: str) -> str:
    """What the modules of an attention compute of their input x, as far as they say."""
    modules = (resolve(name) for name in attention.split("+"))
    return ", then ".join(
        said for module in modules if (said := getattr(getattr(module, "func", module), "formula", ""))
    )


def answers(tested: Pictures) -> dict[str, Any]:
    """The worst mistakes and the least sure answers."""

    def cards(places):
        return [
            {
                "place": int(i),
                "image": pixels.photo(tested.images[i]),
                "truth": tested.classes[tested.labels[i]],
                "said": tested.classes[tested.predicted[i]],
                "probability": float(tested.probabilities[i].max()),
            }
            for i in places
        ]

    return {
        "wrong": int((tested.predicted != tested.labels).sum()),
        "count": len(tested.labels),
        "worst": cards(worst_mistakes(tested, SHOWN)),
        "unsure": cards(least_sure(tested, SHOWN)),
    }


def score_rows(study: Study) -> dict[str, Any]:
    """The table of what each kind of map is worth; the best of each column is marked."""
    table = score_table.rows(study.scored)
    columns = [name for name in READING if name == "agreement" or getattr(table[0], name) is not None]
    best = {
        name: score_table.BEST[name](getattr(row, name) for row in table) for name in columns if name != "agreement"
    }

    def cell(row, name):
        value = getattr(row, name)
        return {"text": score_table.cell(name, value), "best": value is not None and value == best.get(name)}

    return {
        "columns": [(score_table.COLUMNS[name].replace("\n", " "), READING[name]) for name in columns],
        "rows": [
            {"kind": row.kind, "layer": row.layer, "cells": [cell(row, name) for name in columns]} for row in table
        ],
        "kinds": [(kind, text) for kind, text in KINDS.items() if any(row.kind == kind for row in table)],
        "count": len(study.scored[0].values),
    }


def configuration(config: Config) -> dict[str, list[dict[str, Any]]]:
    """Every flag by group, with its value, and whether it is other than its recipe's default."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for field in dataclasses.fields(Config):
        value = getattr(config, field.name)
        groups.setdefault(field.metadata["group"], []).append(
            {
                "flag": _flag(field),
                "value": str(value),
                "help": field.metadata["help"],
                "changed": field.name != "recipe" and value != _default(config, field),
            }
        )
    return groups


def command(config: Config) -> str:
    """The command line that trains this configuration again: what differs from the recipe's defaults."""
    words = ["python", "-m", "jaxattn.train"]
    for field in dataclasses.fields(Config):
        value, usual = getattr(config, field.name), _default(config, field)
        if field.name == "dataset" or value != usual:
            words += [_flag(field), str(value)]
    return shlex.join(words)


def _flag(field):
    return "--" + field.name.replace("_", "-")


def _default(config, field):
    return RECIPES[config.recipe].get(field.name, field.default)
