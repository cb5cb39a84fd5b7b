"""Gates by channel: how each is weighed, and whether the picture moves it."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.plots import canvas
from jaxattn.scores import spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3
CONSTANT = 0.01  # of a weight: pictures that move it less do not move it


def draw(gate_profiles: dict[str, np.ndarray], studied_labels: np.ndarray, caption: str) -> "Figure":
    """The weight of each channel: its mean over pictures, and the band that holds 90% of them.

    Args:
        gate_profiles: weight of each channel for each of N pictures, {gate: [N, C]}, a panel each.
        studied_labels: classes of the pictures, int [N].
        caption: which run it is.

    Raises:
        NothingToDrawError: where no gate weighs channels.
    """
    if not gate_profiles:
        raise canvas.NothingToDrawError("no gates to draw: nothing in this network weighs its channels")
    columns = min(COLUMNS, len(gate_profiles))
    rows = -(-len(gate_profiles) // columns)
    title = f"What the gates weigh: each channel over {len(studied_labels):,} pictures"
    note = "±: standard deviation of the weights between channels, and between pictures (and its share by class)."
    made = canvas.figure(title, f"{caption}\n{note}", (max(columns * 3.1, 6.5), rows * 2.6))
    axes = made.subplots(rows, columns, squeeze=False, sharey=True)
    limits = gate_limits(gate_profiles.values())
    for axis, (gate, profiles) in zip(axes.flat, gate_profiles.items(), strict=False):
        _panel(axis, gate, profiles, studied_labels)
        axis.set_ylim(limits[0] - 0.02, limits[1] + 0.02)
    for axis in axes[:, 0]:
        axis.set_ylabel("weight", fontsize=canvas.SMALL, color=canvas.INK)
    for axis in axes.flat[len(gate_profiles) :]:
        axis.set_visible(False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside upper right", fontsize=canvas.SMALL, ncols=2, frameon=False)
    return canvas.finish(made)


def gate_limits(gates) -> tuple[float, float]:
    """The scale of gates' weights, arrays [...]: 0 to 1, widened only where a gate is not bounded by that."""
    low, high = min(float(gate.min()) for gate in gates), max(float(gate.max()) for gate in gates)
    return min(0.0, low), max(1.0, high)


def _panel(axis, gate, profiles, labels):
    found = spread(profiles, labels)
    order = np.argsort(profiles.mean(axis=0), kind="stable")
    places = np.arange(len(order)) + 1
    low, high = np.quantile(profiles[:, order], [0.05, 0.95], axis=0)
    axis.fill_between(places, low, high, color="#2a788e", alpha=0.3, linewidth=0, label="90% of pictures", step="mid")
    axis.plot(places, profiles.mean(axis=0)[order], color="#440154", linewidth=1.2, drawstyle="steps-mid", label="mean")
    moved = f"{found.by_class:.0%} by class" if found.between_pictures >= CONSTANT else "a constant"
    title = f"{gate}\nchannels ±{found.between_channels:.3f}\npictures ±{found.between_pictures:.3f}, {moved}"
    canvas.plain_axes(axis, title, "channel, by mean weight")
    axis.set_xlim(0.5, len(order) + 0.5)
    canvas.whole_ticks(axis.xaxis)
