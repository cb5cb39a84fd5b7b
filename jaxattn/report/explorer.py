"""The data of a report's explorer: for each image and layer the prediction, feature maps, gates and maps."""

from typing import Any

import numpy as np

from jaxattn.explain.explanation import Explanation
from jaxattn.explain.faithfulness import area
from jaxattn.explain.gates import gate_limits
from jaxattn.explain.maps import over_image, zoom
from jaxattn.explain.selection import balanced, worst_mistakes
from jaxattn.plots.gallery import mosaic
from jaxattn.report import pixels
from jaxattn.report.sections import KINDS
from jaxattn.types import Layer, MapKind, Predictions, ScoredMaps

EXAMPLES, MISTAKES = 10, 6  # images: the classes in turn, then the worst mistakes of the runs in turn
CHANNELS = 16  # feature maps of a layer
BARS = 5  # classes whose probability is shown
BY_IMAGE = ("images", "predictions", "features", "overlays", "notes", "weights")  # lists with an item for each image


def selected(tested: list[Predictions]) -> np.ndarray:
    """Indices of the test images to explore, int [N]: examples of each class, then mistakes of each run in turn."""
    chosen = dict.fromkeys(balanced(tested[0].truth, EXAMPLES, tested[0].superclasses).tolist())
    worst = [worst_mistakes(predictions, EXAMPLES + MISTAKES).tolist() for predictions in tested]
    turns = [run[i] for i in range(EXAMPLES + MISTAKES) for run in worst if i < len(run)]
    fresh = [index for index in dict.fromkeys(turns) if index not in chosen]
    return np.array([*chosen, *fresh[:MISTAKES]])


def contents(
    names: list[str], explained: list[Explanation], rows: np.ndarray, profiles: list[dict[Layer, np.ndarray]]
) -> dict[str, Any]:
    """The data that the page's script reads.

    Args:
        names: names of the runs.
        explained: the same N images, explained for each run.
        rows: their indices in the test set, int [N].
        profiles: for each run, the weight of each channel for each of n images, {gate: [n, C]}.

    Returns:
        A dict that JSON can hold.
    """
    first = explained[0].predictions
    return {
        "classes": list(first.classes),
        "images": [
            {"index": int(index), "image": pixels.photo(image), "truth": int(label)}
            for index, image, label in zip(rows, first.images, first.truth, strict=True)
        ],
        "examples": min(EXAMPLES, len(rows)),
        "layers": [str(layer) for layer in sorted({layer for one in explained for layer in one.layers})],
        "runs": [_run(*parts) for parts in zip(names, explained, profiles, strict=True)],
    }


def fewer(contents: dict[str, Any]) -> dict[str, Any]:
    """The result of `contents`, with every other image."""

    def cut(key, value):
        if key in BY_IMAGE and isinstance(value, list):  # a layer may have such a name, too
            return value[::2]
        if isinstance(value, dict):
            return {name: cut(name, one) for name, one in value.items()}
        return [cut("", one) for one in value] if isinstance(value, list) else value

    return {**cut("", contents), "examples": -(-contents["examples"] // 2)}


def _run(name: str, explained: Explanation, profiles: dict[Layer, np.ndarray]) -> dict[str, Any]:
    probabilities = explained.predictions.probabilities
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :BARS]
    return {
        "name": name,
        "predictions": [
            [[int(k), round(float(row[k]), 4)] for k in best] for best, row in zip(ranked, probabilities, strict=True)
        ],
        "layers": {str(layer): _layer(explained, layer, values) for layer, values in explained.features.items()},
        "gates": [_gate(gate, explained.gates[gate], usual) for gate, usual in profiles.items()],
    }


def _layer(explained: Explanation, layer: Layer, values: np.ndarray) -> dict[str, Any]:
    shown = values[..., :CHANNELS]
    limits = float(shown.min()), float(shown.max())
    mosaics = [mosaic(pixels.coarse(np.moveaxis(one, 2, 0))) for one in shown]
    maps = [one for one in explained.maps if one.layer is not None and one.layer.block == layer.block]
    return {
        "block": layer.block,
        "shape": list(values.shape[1:]),
        "shown": shown.shape[3],
        "limits": [float(f"{limit:.3g}") for limit in limits],
        "features": [pixels.coloured(one, limits) for one in mosaics],
        "maps": [_map(one, explained) for one in sorted(maps, key=lambda one: [*MapKind].index(one.kind))],
    }


def _map(one: ScoredMaps, explained: Explanation) -> dict[str, Any]:
    height, width = (min(side, pixels.MAX_SIDE) for side in explained.predictions.images.shape[1:3])
    if one.kind.is_weight:
        limits = gate_limits([one.values])
        over = zoom(one.values, height, width)
    else:
        limits, over = (0, 1), over_image(one.values, height, width)
    unit = "× uniform share" if one.kind == MapKind.ATTENTION_RECEIVED else "weight"
    return {
        "name": one.title,
        "reading": KINDS[one.kind],
        "scale": [float(f"{limit:.3g}") for limit in limits] if one.kind.is_weight else None,
        "unit": unit,
        "overlays": [pixels.coloured(values, limits) for values in over],
        "notes": [_note(one, i) for i in range(len(over))],
    }


def _note(one, i):
    scores = one.scores
    text = f"deletion {area(scores.deletion[i]):.2f}, insertion {area(scores.insertion[i]):.2f}"
    return text if scores.mass_on_object is None else f"{text}, {scores.mass_on_object[i]:.0%} on the object"


def _gate(name: Layer, gate: np.ndarray, profiles: np.ndarray) -> dict[str, Any]:
    mean, weights = profiles.mean(axis=0), gate.mean(axis=(1, 2))
    order = np.argsort(mean, kind="stable")
    return {
        "name": str(name),
        "block": name.block,
        "limits": [float(f"{limit:.3g}") for limit in gate_limits([gate, profiles])],
        "mean": _short(mean[order]),
        "weights": [_short(row[order]) for row in weights],
    }


def _short(values):
    return [round(float(value), 3) for value in values]
