"""A run in a notebook: its result, its curves and where its report is, as HTML."""

import html
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 320, 90
COLOURS = {"train_accuracy": "#7a7f87", "val_accuracy": "#1f7a86"}


def summary(folder: Path, about: str, metrics: list[dict[str, Any]], result: dict[str, Any] | None) -> str:
    """A run's result, its accuracy by epoch as a small chart, and a link to its report, if there is one.

    Args:
        folder: the run folder.
        about: what was trained.
        metrics: one dict per epoch, as in `metrics.jsonl`; an export has none.
        result: as in `result.json`; None if the run has not finished.
    """
    accuracy = "not finished" if result is None else f"test accuracy {result['test_accuracy']:.2%}"
    lines = [_line(metrics, key, colour) for key, colour in COLOURS.items() if metrics and key in metrics[-1]]
    values = [line[key] for line in metrics for key in COLOURS if key in line]
    report = folder / "report.html"
    link = f'<a href="{html.escape(report.as_posix())}">report</a>' if report.exists() else "no report yet"
    epochs = f"{len(metrics)} epoch{'s' * (len(metrics) != 1)}"
    title, place = f"{html.escape(about)}<br>", f"<code>{html.escape(str(folder))}</code>"
    if not metrics:  # of an export
        return f"<div><strong>{accuracy}</strong> &middot; {title}<small>{place}</small></div>"
    chart = (
        f'<svg width="{WIDTH}" height="{HEIGHT}" style="overflow:visible; margin:4px" role="img" aria-label="accuracy'
    )
    return (
        f"<div><strong>{accuracy}</strong> after {epochs} &middot; {title}"
        f'{chart} by epoch">{"".join(lines)}</svg><br>'
        f"<small>accuracy by epoch, from {min(values):.0%} to {max(values):.0%}; grey: train, colour: the monitored "
        f"split. {place}, {link}</small></div>"
    )


def _line(metrics, key, colour):
    values = [line[key] for line in metrics]
    everything = [line[name] for line in metrics for name in COLOURS if name in line]
    low, span = min(everything), max(everything) - min(everything) or 1
    across = WIDTH / max(len(values) - 1, 1)
    points = [(i * across, HEIGHT - (v - low) / span * HEIGHT) for i, v in enumerate(values)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    return (
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
    )
