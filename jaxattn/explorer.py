"""What a page's explorer shows: for each picture and layer the answer, feature maps, gates and activation maps."""

from typing import Any

import numpy as np

from jaxattn import heatmap, pixels
from jaxattn.cam import CAMS
from jaxattn.capture import in_order
from jaxattn.exhibits import KINDS
from jaxattn.pictures import Look, balanced
from jaxattn.plots import canvas
from jaxattn.plots.gate_profiles import gate_limits
from jaxattn.plots.mistakes import worst_mistakes
from jaxattn.records import Heatmap, Pictures
from jaxattn.scores import area

EXAMPLES, MISTAKES = 10, 6  # pictures: classes in turn, then the worst mistakes of the runs in turn
CHANNELS = 16  # feature maps of a layer
BARS = 5  # classes whose probability is shown


def places(tested: list[Pictures]) -> np.ndarray:
    """Which test pictures to explore, int [N]: examples of each class, then mistakes of each run in turn."""
    chosen = dict.fromkeys(balanced(tested[0].labels, EXAMPLES).tolist())
    worst = [worst_mistakes(pictures, EXAMPLES + MISTAKES).tolist() for pictures in tested]
    turns = [run[i] for i in range(EXAMPLES + MISTAKES) for run in worst if i < len(run)]
    fresh = [place for place in dict.fromkeys(turns) if place not in chosen]
    return np.array([*chosen, *fresh[:MISTAKES]])


def contents(names: list[str], looks: list[Look], where: np.ndarray, means: list[dict[str, np.ndarray]]) -> dict:
    """What the page's script reads.

    Args:
        names: of the runs.
        looks: of each run at the same N pictures.
        where: their places in the test set, int [N].
        means: of each run, the weight of each channel for each of n pictures, {gate: [n, C]}.

    Returns:
        A dict that JSON can hold.
    """
    seen = looks[0].pictures
    return {
        "classes": list(seen.classes),
        "pictures": [
            {"place": int(place), "image": pixels.photo(image), "truth": int(label)}
            for place, image, label in zip(where, seen.images, seen.labels, strict=True)
        ],
        "examples": min(EXAMPLES, len(where)),
        "layers": sorted({layer for look in looks for layer in look.layers}, key=in_order),
        "runs": [_run(name, *rest) for name, *rest in zip(names, looks, means, strict=True)],
    }


def fewer(found: dict) -> dict:
    """What `contents` gives, with every other picture."""

    def cut(key, value):
        if key in ("pictures", "answers", "features", "images", "notes", "weights"):
            return value[::2]
        if isinstance(value, dict):
            return {name: cut(name, one) for name, one in value.items()}
        return [cut("", one) for one in value] if isinstance(value, list) else value

    return {**cut("", found), "examples": -(-found["examples"] // 2)}


def _run(name: str, look: Look, profiles: dict[str, np.ndarray]) -> dict[str, Any]:
    probabilities = look.pictures.probabilities
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :BARS]
    return {
        "name": name,
        "answers": [
            [[int(k), round(float(row[k]), 4)] for k in best] for best, row in zip(ranked, probabilities, strict=True)
        ],
        "layers": {layer: _layer(look, layer, values) for layer, values in look.features.items()},
        "gates": [_gate(gate, look.gates[gate], usual) for gate, usual in profiles.items()],
    }


def _layer(look: Look, layer: str, values: np.ndarray) -> dict[str, Any]:
    number = in_order(layer)[0]
    shown = values[..., :CHANNELS]
    limits = float(shown.min()), float(shown.max())
    mosaics = [canvas.mosaic(pixels.coarse(np.moveaxis(one, 2, 0))) for one in shown]
    maps = [one for one in look.heatmaps if in_order(one.layer)[0] == number]
    return {
        "shape": list(values.shape[1:]),
        "shown": shown.shape[3],
        "limits": [float(f"{limit:.3g}") for limit in limits],
        "features": [pixels.coloured(mosaic, limits) for mosaic in mosaics],
        "maps": [_map(one, look) for one in sorted(maps, key=lambda one: [*KINDS].index(one.kind))],
    }


def _map(one: Heatmap, look: Look) -> dict[str, Any]:
    size = [min(side, pixels.LARGEST) for side in look.pictures.images.shape[1:3]]
    weighs = one.kind not in CAMS and not one.kind.endswith("channel")
    if weighs:
        limits = gate_limits([one.values])
        over = heatmap.zoom(one.values, *size)
    else:
        limits, over = (0, 1), heatmap.over_picture(one.values, *size)
    return {
        "name": f"{one.kind} {one.layer}",
        "reading": KINDS[one.kind],
        "scale": [float(f"{limit:.3g}") for limit in limits] if weighs else None,
        "images": [pixels.coloured(values, limits) for values in over],
        "notes": [_note(one, i) for i in range(len(over))],
    }


def _note(one, i):
    found = one.scores
    text = f"deletion {area(found.deletion[i]):.2f}, insertion {area(found.insertion[i]):.2f}"
    return text if found.object_share is None else f"{text}, {found.object_share[i]:.0%} on the object"


def _gate(name, gate, profiles):
    usual, weights = profiles.mean(axis=0), gate.mean(axis=(1, 2))
    order = np.argsort(usual, kind="stable")
    return {
        "name": name,
        "block": in_order(name)[0],
        "limits": list(gate_limits([gate, profiles])),
        "usual": _short(usual[order]),
        "weights": [_short(row[order]) for row in weights],
    }


def _short(values):
    return [round(float(value), 3) for value in values]
