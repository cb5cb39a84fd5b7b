"""Training curves: loss, accuracy and learning rate by epoch."""

from typing import TYPE_CHECKING, Any

from jaxattn.plots import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAIN, MONITORED = "#440154", "#1f9e89"


def draw(
    metrics: list[dict[str, Any]], monitored: str | None, plateaus: list[int], epoch: int, caption: str
) -> "Figure":
    """Loss (nats) and accuracy on the training and the monitored split, and the learning rate.

    Args:
        metrics: one dict per epoch, as in `metrics.jsonl`.
        monitored: "validation", "test", or None for none.
        plateaus: epochs before which a plateau lowered the learning rate.
        epoch: the epoch whose weights the other plots show.
        caption: which run it is.
    """
    figure = canvas.figure("Training curves", caption, (9.5, 3))
    axes = figure.subplots(1, 3)
    epochs = [line["epoch"] for line in metrics]
    lines = {"train": ("train", TRAIN)}
    if monitored is not None:
        lines["val"] = ("TEST (monitored)" if monitored == "test" else "validation", MONITORED)
    for axis, quantity, unit in zip(axes, ("loss", "accuracy"), (", nats", ""), strict=False):
        for key, (label, colour) in lines.items():
            values = [line[f"{key}_{quantity}"] for line in metrics]
            axis.plot(epochs, values, color=colour, label=label, linewidth=1.5, marker="o", markersize=_dot(epochs))
        canvas.plain_axes(axis, quantity + unit, "epoch")
    rates = [line["learning_rate"] for line in metrics]
    axes[2].plot(epochs, rates, color=TRAIN, linewidth=1.5, marker="o", markersize=_dot(epochs), label="learning rate")
    canvas.plain_axes(axes[2], "learning rate at the end of the epoch", "epoch")
    axes[1].yaxis.set_major_formatter("{x:.0%}")
    _scale_rates(axes[2], rates, bool(plateaus))
    for axis in axes:
        canvas.whole_ticks(axis.xaxis)
        axis.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
        axis.axvline(epoch, color="0.6", linewidth=1, linestyle=":", label=f"weights of epoch {epoch}")
        for i, epoch_after in enumerate(plateaus):
            label = f"plateaus: {len(plateaus)}" if i == 0 else "_"
            axis.axvline(epoch_after - 0.5, color="#fca50a", linewidth=1, linestyle="--", zorder=0, label=label)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", fontsize=canvas.SMALL, ncols=4, frameon=False)
    return canvas.finish(figure)


def _dot(epochs):
    return 3 if len(epochs) <= 30 else 0


def _scale_rates(axis, rates, halved):
    """A logarithmic axis if plateaus lower the rate, without powers in its labels; otherwise an axis from 0."""
    if halved:
        from matplotlib.ticker import NullFormatter

        axis.set_yscale("log")
        axis.yaxis.set_minor_formatter(NullFormatter())
    else:
        axis.set_ylim(0, max(rates) * 1.1)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
