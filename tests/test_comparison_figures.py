"""What the figures and the table of a comparison show: values, not only that something is drawn."""

import re
from pathlib import Path

import numpy as np
import pytest

from jaxattn.comparison import figures
from jaxattn.comparison.plan import Plan
from jaxattn.comparison.progress import Progress
from jaxattn.config import Config
from jaxattn.runs import html


def points_of(axes):
    """The dots of an axes, as a set of (x, y)."""
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    return {(float(x), round(float(y), 6)) for line in dots for x, y in zip(*line.get_data(), strict=True)}


def test_every_seed_is_a_dot_every_mean_a_bar():
    accuracies = {"none": {0: 0.5, 1: 0.6}, "se": {0: 0.7, 1: 0.9, 2: 0.8}, "later": {}}
    (axes,) = figures.seeds(accuracies, "").axes
    assert points_of(axes) == {(0, 50), (0, 60), (1, 70), (1, 90), (1, 80)}
    flat = [line.get_data() for line in axes.lines if line.get_marker() != "o"]
    bars = {(round(float(np.mean(x)), 6), round(float(y[0]), 6)) for x, y in flat if y[0] == y[1]}
    assert bars == {(0, 55), (1, 80)} and len(flat) == 2
    assert [label.get_text() for label in axes.get_xticklabels()] == ["none", "se"]
    assert {text.get_text() for text in axes.texts} >= {"55.00", "80.00"}


def test_the_line_joins_what_is_not_beaten_in_both():
    rows = [
        figures.Cost("none", 0.80, 1000, 9, 9),
        figures.Cost("se", 0.82, 1100, 9, 9),
        figures.Cost("wide:se", 0.81, 2000, 9, 9),
    ]
    line = figures.costs(rows, "").axes[0].lines[0]
    assert [tuple(map(float, point)) for point in zip(*line.get_data(), strict=True)] == [(1, 80), (1.1, 82)]


def test_an_interval_is_drawn_where_its_ends_are():
    rows = [figures.Interval("se", 0.2, -0.1, 0.5), figures.Interval("eca", -1.0, -2.0, 0.0)]
    (axes,) = figures.forest("Difference", rows, "", 0.3).axes
    ends = {tuple(np.round(line.get_xdata(), 6)) for line in axes.lines}
    assert {(-0.1, 0.5), (-2.0, 0.0)} <= ends
    assert {label.get_text() for label in axes.get_yticklabels()} == {"se", "eca"}


def test_the_share_of_a_run_counts_the_steps_of_all_its_epochs(quiet, monkeypatch):
    told, config = [], Config(attention="se")
    monkeypatch.setattr(Progress, "tell", lambda self, config, text: told.append(text))
    progress = Progress(Plan(config, ("none", "se"), (1,)), {}, {}, quiet)
    with progress.console(config).bar(4, 25) as tell:
        tell(1, 0)
        tell(3, 5)
        tell(4, 25)
    assert told[0] == "compiling"
    assert [re.sub(r", \d+ s$", "", text) for text in told[1:]] == [
        "epoch 1 of 4, 0%", "epoch 3 of 4, 55%", "epoch 4 of 4, 100%"
    ]  # fmt: skip


@pytest.mark.parametrize(("values", "heights"), [((0.5, 0.5), (90, 90)), ((0.2, 0.4), (90, 0)), ((0.4, 0.2), (0, 90))])
def test_a_notebooks_curve_goes_from_the_lowest_to_the_highest_accuracy(values, heights):
    metrics = [{"epoch": i, "train_accuracy": value} for i, value in enumerate(values, 1)]
    text = html.summary(Path("run"), "about", metrics, None)
    (points,) = re.findall(r'points="([^"]*)"', text)
    assert points == f"0.0,{heights[0]:.1f} 320.0,{heights[1]:.1f}"
    assert f"from {min(values):.0%} to {max(values):.0%}" in text and "not finished" in text
