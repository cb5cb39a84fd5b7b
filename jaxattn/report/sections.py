"""The sections of a report, as plain dicts for the template: numbers, tables and small images of runs."""

from typing import Any

from jaxattn.attention import resolve
from jaxattn.attention.cost import parameters
from jaxattn.explain import score_table
from jaxattn.explain.analysis import Analysis
from jaxattn.explain.selection import least_confident, worst_mistakes
from jaxattn.metrics import (
    are_unequal,
    balanced_accuracy,
    frequencies,
    reliability,
    superclass_accuracy,
    wilson_interval,
)
from jaxattn.report import pixels
from jaxattn.report.charts import Line, chart
from jaxattn.runs.run import Run
from jaxattn.types import MapKind, Predictions

SHOWN = 8  # mistakes, and least confident predictions

COLUMNS = {
    "mass_on_object": (
        "mass on object ↑",
        "Fraction of the map's attribution mass on the object. Chance is the fraction of the image that the object "
        "covers.",
    ),
    "pointing": ("maximum on object ↑", "How often the maximum of the map lies on the object."),
    "deletion": (
        "deletion area ↓",
        "Mean probability of the predicted class while the map's highest pixels are greyed out first. Lower is better: "
        "the map points at what the network uses.",
    ),
    "insertion": (
        "insertion area ↑",
        "Mean probability of the predicted class while the map's highest pixels are inserted first into a blurred "
        "image. Higher is better: these pixels are enough.",
    ),
    "similarity": (
        "randomised weights → 0",
        "Randomisation similarity: rank correlation with the same map of a network with randomised weights. Near 0 is "
        "good; near 1 the map shows the image itself, whatever was learned.",
    ),
}
KINDS = {
    MapKind.CHANCE: "Pixels in random order: the baseline.",
    MapKind.GRAD_CAM: "Evidence for the predicted class; each channel has one weight for the whole image.",
    MapKind.HIRES_CAM: "Evidence for the predicted class, computed position by position.",
    MapKind.LAYER_CAM: "The same from positive gradients alone: what lowers the class's logit is ignored.",
    MapKind.STRONGEST: "Where the most active channel is active, whether or not it is evidence for the class.",
    MapKind.SECOND: "The same for the second most active channel.",
    MapKind.THIRD: "The same for the third most active channel.",
    MapKind.GATE: "The weight that the attention gives to each position, averaged over channels.",
    MapKind.ATTENTION_RECEIVED: "How much attention each position receives in self-attention.",
}


def run_names(runs: list[Run]) -> list[str]:
    """Short distinct names of runs: the attention; if not distinct, with the seed, the folder's name, or its path."""
    short = ["plain" if run.config.attention == "none" else run.config.attention for run in runs]
    tries = (
        short,
        [f"{name}, seed {run.config.seed}" for name, run in zip(short, runs, strict=True)],
        [run.folder.resolve().name for run in runs],
        [str(run.folder) for run in runs],
    )
    return next((names for names in tries if len(set(names)) == len(runs)), tries[-1])


def result(run: Run, tested: Predictions) -> dict[str, Any]:
    """The test accuracy of a run, with its interval, its chance level and its circumstances."""
    count, correct = len(tested.images), int((tested.predicted == tested.truth).sum())
    recorded = run.result if run.result is not None and run.result["tested_epoch"] == run.epoch else None
    accuracy = recorded["test_accuracy"] if recorded else correct / count
    low, high = wilson_interval(round(accuracy * count), count)
    return {
        "accuracy": accuracy,
        "low": low,
        "high": high,
        "count": count,
        **_by_class(tested),
        "loss": recorded["test_loss"] if recorded else None,
        "calibration": reliability(tested.probabilities, tested.truth).error,
        "parameters": parameters(run.variables["params"]),
        "epoch": run.epoch,
        "epochs": len(run.metrics),
        "planned": run.config.epochs,
        "finished": run.result is not None,
        "seconds": sum(line["seconds"] for line in run.metrics) if "seconds" in run.metrics[-1] else None,
        "test_monitored": run.config.monitor == "test",
        "trained_on": {**(run.result or {}).get("versions", {}), "device": (run.result or {}).get("device")},
    }


def _by_class(tested: Predictions) -> dict[str, Any]:
    """The accuracy of the best constant prediction, and accuracies that only some data sets have, otherwise None."""
    counts = frequencies(tested.truth, len(tested.classes))
    pair, superclasses = (tested.predicted, tested.truth), tested.superclasses
    return {
        "chance": counts.max() / len(tested.images),
        "balanced": balanced_accuracy(*pair) if are_unequal(counts) else None,
        "superclass": superclass_accuracy(*pair, superclasses) if superclasses else None,
    }


def curves(names: list[str], runs: list[Run], plateaus: list[list[int]]) -> list[dict[str, Any]]:
    """Charts of loss, accuracy and learning rate by epoch, each with all runs."""
    charts = []
    for key, title, percent in (("loss", "Loss, nats", ""), ("accuracy", "Accuracy", "y")):
        lines = [
            line
            for i, (name, run) in enumerate(zip(names, runs, strict=True))
            for line in _two_lines(run, key, f" of {name}" if len(runs) > 1 else "", i)
        ]
        charts.append(chart(title, lines, "epoch", percent=percent, whole=True))
    rates = [
        Line(name, [line["epoch"] for line in run.metrics], [line["learning_rate"] for line in run.metrics], i)
        for i, (name, run) in enumerate(zip(names, runs, strict=True))
    ]
    top = max(rate for line in rates for rate in line.y) or 1
    marks = sorted({epoch - 0.5 for epochs in plateaus for epoch in epochs})
    return [*charts, chart("Learning rate", rates, "epoch", {"y": (0, top)}, whole=True, marks=marks)]


def _two_lines(run: Run, key: str, suffix: str, colour: int) -> list[Line]:
    labels = {"train": "train"}
    if run.config.monitored is not None:
        labels["val"] = "TEST (monitored)" if run.config.monitored == "test" else "validation"
    epochs = [line["epoch"] for line in run.metrics]
    return [
        Line(f"{label}{suffix}", epochs, [line[f"{which}_{key}"] for line in run.metrics], colour, which == "train")
        for which, label in labels.items()
    ]


def calibration(names: list[str], tested: list[Predictions]) -> dict[str, Any]:
    """The reliability diagram: accuracy by confidence."""
    lines = [Line("", [0, 1], [0, 1], -1, True)]
    for i, (name, predictions) in enumerate(zip(names, tested, strict=True)):
        bins = reliability(predictions.probabilities, predictions.truth)
        filled = bins.count > 0
        lines.append(Line(name, bins.confidence[filled].tolist(), bins.accuracy[filled].tolist(), i))
    return chart("Accuracy by confidence", lines, "confidence", {"x": (0, 1), "y": (0, 1)}, percent="xy")


def formula(attention: str) -> str:
    """What the modules of an attention compute from their input x, if they have a formula."""
    if attention.startswith("wide:"):
        return ""
    modules = (resolve(name) for name in attention.split("+"))
    formulas = (getattr(getattr(module, "func", module), "formula", "") for module in modules)
    return ", then ".join(formula for formula in formulas if formula)


def mistakes(tested: Predictions) -> dict[str, Any]:
    """The most confident mistakes and the least confident predictions."""

    def cards(rows):
        return [
            {
                "index": int(i),
                "image": pixels.photo(tested.images[i]),
                "truth": tested.classes[tested.truth[i]],
                "predicted": tested.classes[tested.predicted[i]],
                "probability": float(tested.probabilities[i].max()),
            }
            for i in rows
        ]

    return {
        "wrong": int((tested.predicted != tested.truth).sum()),
        "count": len(tested.images),
        "worst": cards(worst_mistakes(tested, SHOWN)),
        "unsure": cards(least_confident(tested, SHOWN)),
    }


def faithfulness(analysis: Analysis) -> dict[str, Any]:
    """The table of scores of each kind of map; the best of each column is marked."""
    table = score_table.rows(analysis.scored)
    columns = score_table.columns(table)

    def cell(row, name):
        value = getattr(row, name)
        best = value is not None and value == score_table.best(table, name)
        return {"text": score_table.text(name, value), "best": best}

    return {
        "columns": [COLUMNS[name] for name in columns],
        "rows": [
            {
                "kind": str(row.kind),
                "layer": "" if row.layer is None else str(row.layer),
                "cells": [cell(row, name) for name in columns],
            }
            for row in table
        ],
        "kinds": [(kind, text) for kind, text in KINDS.items() if any(row.kind == kind for row in table)],
        "count": len(analysis.scored[0].values),
    }
