"""The sections of a report by class: confusion matrix, a table of all classes, their frequencies, gates."""

from typing import Any

import numpy as np

from jaxattn.explain.analysis import Analysis
from jaxattn.explain.gates import CONSTANT, class_means, describe, gate_limits
from jaxattn.explain.groups import confusion, grouped
from jaxattn.explain.knockout import lost_with_means
from jaxattn.metrics import are_unequal, frequencies, per_class_accuracy
from jaxattn.report import pixels
from jaxattn.report.charts import Line, chart
from jaxattn.runs.run import Run
from jaxattn.types import Predictions

CONFUSIONS = 5  # that are named in the text
Wrong = list[tuple[int, int, int]]  # true class, predicted class, number of images


def matrix(tested: Predictions) -> dict[str, Any]:
    """The confusion matrix and the accuracy of its rows: classes or, if there are many, groups of them."""
    groups = grouped(tested)
    counts = confusion(tested, groups)
    accuracy, interval = per_class_accuracy(counts)
    total = counts.sum(axis=1)
    return {
        "kind": groups.kind,
        "about": groups.about,
        "columns": groups.columns,
        "fractions": (counts / np.maximum(total, 1)[:, None]).tolist(),
        "rows": [
            {"name": name, "short": short, "accuracy": a, "low": low, "high": high, "count": int(n)}
            for name, short, a, (low, high), n in zip(
                groups.names, groups.short, accuracy, interval, total, strict=True
            )
        ],
    }


def table(run: Run, tested: Predictions) -> dict[str, Any]:
    """All classes with their images, accuracy and most frequent wrong prediction, and which are hardest and easiest.

    Args:
        run: its result may say how many images of each class were trained on.
        tested: its test set.
    """
    classes, wrong = tested.classes, _wrong(tested)
    trained, total = trained_images(run), frequencies(tested.truth, len(classes))
    correct = frequencies(tested.truth[tested.predicted == tested.truth], len(classes))
    accuracy = correct / np.maximum(total, 1)
    most: dict[int, tuple[int, int]] = {}
    for truth, predicted, count in wrong:
        most.setdefault(truth, (predicted, count))
    rows = [
        {
            "name": name,
            "superclass": tested.superclasses[i] if tested.superclasses else "",
            "trained": None if trained is None else int(trained[i]),
            "count": int(total[i]),
            "accuracy": float(accuracy[i]),
            "predicted": f"{classes[most[i][0]]} ({most[i][1]:,})" if i in most else "",
        }
        for i, name in enumerate(classes)
    ]
    seen = np.flatnonzero(total)
    hardest, best = (seen[np.lexsort((-total[seen], sign * accuracy[seen]))[0]] for sign in (1, -1))  # most images
    return {
        "rows": rows,
        "superclasses": bool(tested.superclasses),
        "trained": trained is not None and are_unequal(trained),
        "worst": [(classes[i], classes[j], count / total[i]) for i, j, count in wrong[:CONFUSIONS]],
        "best": classes[best],
        "hardest": classes[hardest],
    }


def _wrong(tested: Predictions) -> Wrong:
    """Pairs of true and predicted class that differ, the most frequent first."""
    mistaken = tested.predicted != tested.truth
    pairs = np.stack([tested.truth[mistaken], tested.predicted[mistaken]], axis=1)
    distinct, counts = np.unique(pairs, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(int(i), int(j), int(n)) for (i, j), n in zip(distinct[order], counts[order], strict=True)]


def trained_images(run: Run) -> np.ndarray | None:
    """How many images of each class were trained on, int [K]; None if the run does not say."""
    recorded = (run.result or {}).get("train_images_by_class")
    return None if recorded is None or len(recorded) != len(run.classes) else np.array(recorded)


def images_by_class(runs: list[Run], tested: Predictions) -> dict[str, Any] | None:
    """A chart of the number of images by class, the most frequent class first; None if all have equally many.

    Args:
        runs: runs on one data set; training images are those of the first run that records them.
        tested: its test set.
    """
    counts = {"test": frequencies(tested.truth, len(tested.classes))}
    trained = [one for one in map(trained_images, runs) if one is not None]
    counts = ({"training": trained[0]} if trained else {}) | counts
    if not any(map(are_unequal, counts.values())):
        return None
    rank = np.arange(1, len(tested.classes) + 1).tolist()
    lines = [
        Line(f"{name} images", rank, np.sort(one)[::-1].tolist(), i) for i, (name, one) in enumerate(counts.items())
    ]
    limits = {"y": (0.0, float(max(one.max() for one in counts.values())))}
    data = chart("Images by class", lines, "classes, most frequent first", limits, whole=True)
    ranges = {name: [int(one.min()), int(one.max())] for name, one in counts.items()}
    return {"chart": data, "ranges": ranges, "recorded": bool(trained)}


def gates(analysis: Analysis) -> list[dict[str, Any]]:
    """Mean gate of each row by channel, and how much the gate varies with the image."""
    profiles = analysis.gate_profiles
    if not profiles:
        return []
    limits, groups = gate_limits(profiles.values()), grouped(analysis.tested)
    rows, names = groups.row[analysis.test_labels], groups.short
    tables, signs = [], analysis.signs
    for gate, weights in profiles.items():
        order = np.argsort(weights.mean(axis=0), kind="stable")
        means = class_means(weights, rows, len(names) + 1)[:-1, order]
        measured = signs[gate]
        tables.append(
            {
                "gate": str(gate),
                "channels": len(order),
                "names": names,
                "kind": groups.kind,
                "about": groups.about,
                "image": pixels.coloured(means, limits),
                "limits": limits,
                "low": float(weights.mean(axis=0).min()),
                "high": float(weights.mean(axis=0).max()),
                "by_class": measured.by_class,
                "between_images": measured.between_images,
                "constant": measured.between_images < CONSTANT,
            }
        )
    return tables


def signs(analysis: Analysis) -> list[dict[str, Any]]:
    """The vital signs of each gate, and a sentence on them that also says what is lost with the means at its site."""
    signs = {str(gate): one for gate, one in analysis.signs.items()}
    costs = lost_with_means(analysis.gates_lost, signs) if signs else {}
    rows = []
    for gate, one in signs.items():
        instead, lost = costs.get(gate, ("", None))
        rows.append({"name": gate, "signs": one._asdict(), "sentence": describe(one, lost, instead)})
    return rows
