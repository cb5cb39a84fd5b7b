"""Channel gates over the test set: the weight of each channel, and how much it varies between images."""

from typing import TYPE_CHECKING

import numpy as np

from jaxattn.explain.gates import CONSTANT, gate_limits, signs
from jaxattn.plots import canvas
from jaxattn.types import Layer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3


def draw(gate_profiles: dict[Layer, np.ndarray], test_labels: np.ndarray, caption: str) -> "Figure":
    """The weight of each channel: its mean over images, and the band that holds 90% of them.

    Args:
        gate_profiles: weight of each channel for each of N images, {gate: [N, C]}, one per panel.
        test_labels: classes of the images, int [N].
        caption: which run it is.

    Raises:
        NothingToDrawError: if no gate weights channels.
    """
    if not gate_profiles:
        raise canvas.NothingToDrawError(canvas.NO_CHANNEL_GATE)
    columns = min(COLUMNS, len(gate_profiles))
    rows = -(-len(gate_profiles) // columns)
    title = f"Attention gates: weight of each channel over {len(test_labels):,} images"
    note = "±: standard deviation of the weights between channels, and between images (with the fraction by class)."
    figure = canvas.figure(title, f"{caption}\n{note}", (max(columns * 3.1, 7.5), rows * 2.6))
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    limits = gate_limits(gate_profiles.values())
    for axis, (gate, profiles) in zip(axes.flat, gate_profiles.items(), strict=False):
        _panel(axis, gate, profiles, test_labels)
        axis.set_ylim(limits[0] - 0.02, limits[1] + 0.02)
    for axis in axes[:, 0]:
        axis.set_ylabel("weight", fontsize=canvas.SMALL, color=canvas.INK)
    for axis in axes.flat[len(gate_profiles) :]:
        axis.set_visible(False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", fontsize=canvas.SMALL, ncols=2, frameon=False)
    return canvas.finish(figure)


def _panel(axis, gate, profiles, labels):
    measured = signs(profiles, labels)
    order = np.argsort(profiles.mean(axis=0), kind="stable")
    positions = np.arange(len(order)) + 1
    low, high = np.quantile(profiles[:, order], [0.05, 0.95], axis=0)
    axis.fill_between(positions, low, high, color="#2a788e", alpha=0.3, linewidth=0, label="90% of images", step="mid")
    axis.plot(
        positions, profiles.mean(axis=0)[order], color="#440154", linewidth=1.2, drawstyle="steps-mid", label="mean"
    )
    note = f"{measured.by_class:.0%} by class" if measured.between_images >= CONSTANT else "nearly constant"
    title = f"{gate}\nchannels ±{measured.between_channels:.3f}\nimages ±{measured.between_images:.3f}, {note}"
    canvas.plain_axes(axis, title, "channel, by mean weight")
    axis.set_xlim(0.5, len(order) + 0.5)
    canvas.whole_ticks(axis.xaxis)
