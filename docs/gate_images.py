"""The gates of a trained module for eight images, as SVG with a small PNG for each gate: a cell for each weight."""

import base64
import html
import io
import json
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import Image

from jaxattn.explain.gates import gate_limits

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
WIDTH, LABEL, TITLE, ROW, GAP = 400, 76, 22, 14, 6


def gate_images(name, experiments=EXPERIMENTS):
    """What a module's gates did in a run of a study: a sentence and a drawing for each gate; empty without a run."""
    runs = experiments.glob(f"*/{name}-s[0-9]*/gates_by_image.json")
    stored = max(runs, key=lambda path: (path.parts[-3] != "gates", path), default=None)  # those of studies first
    if stored is None:
        return []
    values = json.loads(stored.read_text())
    gates = [
        (gate, kind, np.array(weights))
        for gate, kinds in values["gates"].items()
        for kind, weights in kinds.items()
        if weights is not None
    ]
    low, high = gate_limits([weights for _, _, weights in gates])
    run = stored.parent.relative_to(experiments.parent)
    text = (
        f"Of the run `{run}`, for the first test image of each of eight classes. Colours run from {low:g} (dark) to "
        f"{high:.3g} (bright); weights by channel are means over positions, those by position means over channels."
    )
    drawings = [
        _drawing(f"{gate}, by {kind[:-1]}", values["classes"], (weights - low) / (high - low))
        for gate, kind, weights in gates
    ]
    return [text, f"<div>{''.join(drawings)}</div>"]


def _drawing(title, classes, weights):
    """Weights in [0, 1]: [8, C], a row for each image, or [8, h, w], a map for each."""
    parts = [f'<text x="0" y="14">{html.escape(title)}</text>']
    if weights.ndim == 2:
        height = ROW * len(weights)
        parts.append(_cells(weights, LABEL, WIDTH - LABEL, height))
        parts += [_label(one, LABEL - 6, TITLE + ROW * (i + 0.8), "end") for i, one in enumerate(classes)]
    else:
        width = WIDTH / len(weights) - GAP
        height = width * weights.shape[1] / weights.shape[2] + ROW
        for i, one in enumerate(classes):
            left = i * (width + GAP)
            parts.append(_cells(weights[i], left, width, height - ROW))
            parts.append(_label(one, left + width / 2, TITLE + height - 2, "middle"))
    box = f'viewBox="0 0 {WIDTH} {TITLE + height + GAP:g}" role="img" aria-label="{html.escape(title)}"'
    return f'<svg class="gates" {box}>{"".join(parts)}</svg>'


def _label(text, x, y, anchor):
    return f'<text class="label" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _cells(weights, x, width, height):
    file = io.BytesIO()
    Image.fromarray(colormaps["viridis"](weights, bytes=True)[..., :3]).save(file, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    box = f'x="{x:g}" y="{TITLE}" width="{width:g}" height="{height:g}"'
    return f'<image {box} preserveAspectRatio="none" href="{source}"/>'
