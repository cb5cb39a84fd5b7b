"""Draws what a trained network computes, and how it was trained, into the run's `figures/`.

jaxattn visualize RUN
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxattn.cli.command import run_command
from jaxattn.cli.parser import Parser, complete_from
from jaxattn.cli.runs import add_code_flags, add_weights_flag, load
from jaxattn.errors import InputError, lookup
from jaxattn.paths import local_path
from jaxattn.plots import PLOTS, draw
from jaxattn.plots.canvas import NothingToDrawError, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jaxattn.runs.run import Run

FORMATS = ("png", "svg")
MAX_IMAGES = 64  # on a figure


def parser() -> Parser:
    """The command line of `jaxattn visualize`."""
    parser = Parser(
        prog="jaxattn visualize",
        description="Draw feature maps, gates, class activation maps, training curves and scores of a run into "
        "RUN/figures.",
    )
    parser.add_argument("run", metavar="RUN", help="run folder")
    text = f"what to draw (default: all): {', '.join(PLOTS)}"
    complete_from(parser.add_argument("--plot", nargs="+", metavar="NAME", help=text), PLOTS)
    parser.add_argument(
        "--layers",
        nargs="+",
        metavar="LAYER",
        default=(),
        help="layers to draw, such as conv1 norm1 attention1 block1 (default: every conv)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--images",
        type=int,
        metavar="N",
        help="number of test images, of as many different classes (default: 3)",
    )
    which.add_argument("--pick", type=int, nargs="+", metavar="I", help="their indices in the test set instead, from 0")
    parser.add_argument("--channels", type=int, metavar="N", default=9, help="feature maps of each layer (default: 9)")
    parser.add_argument(
        "--class", dest="target", metavar="NAME", help="class that CAMs explain (default: the prediction)"
    )
    add_weights_flag(parser)
    add_code_flags(parser)
    parser.add_argument("--format", nargs="+", metavar="F", default=FORMATS, help="png, svg or both (default: both)")
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the data set (default: as in training)")
    parser.add_argument("--out", metavar="DIR", help="folder for the figures (default: RUN/figures)")
    return parser


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: if the command line or what it names cannot be used.
    """
    flags = parser().parse_args(arguments)
    for kind, names, known in (("plot", flags.plot or (), PLOTS), ("format", flags.format, dict.fromkeys(FORMATS))):
        for name in names:
            lookup(kind, name, known)
    import numpy as np

    from jaxattn.explain.analysis import History
    from jaxattn.explain.explanation import Explanation, Selection

    selection = Selection(tuple(flags.layers), flags.channels, flags.target)
    run = load(flags.run, flags)
    blank = np.zeros((1, *run.image_shape), np.uint8)
    Explanation(run, blank, selection)  # wrong names are found before the data is loaded
    names, sources = list(dict.fromkeys(flags.plot or PLOTS)), {"history": History(run)}
    if any(PLOTS[name].source != "history" for name in names):
        chosen = functools.partial(_spread, count=3 if flags.images is None else flags.images)
        if flags.pick is not None:
            chosen = functools.partial(_picked, indices=flags.pick)
        sources |= _from_data(run, selection, chosen, flags.data_dir, flags.trust_code)
    out = local_path(flags.out, "out") if flags.out else run.folder / "figures"
    for name in names:
        try:
            drawn = draw(name, **sources)
        except NothingToDrawError as nothing:
            print(f"{name}: {nothing}")
            continue
        for form in dict.fromkeys(flags.format):
            print(write(drawn, out / f"{name}.{form}"))


def figure(  # noqa: PLR0913
    run: "Run",
    plot: str,
    images: int = 3,
    layers: Sequence[str] = (),
    channels: int = 9,
    target: str | None = None,
    data_dir: str | None = None,
    *,
    trust_code: bool = False,
) -> "Figure":
    """A plot of a run; a notebook shows it if it is a cell's last value.

    Args:
        run: from `fit` or `load_run`.
        plot: a name of `jaxattn.plots.PLOTS`.
        images: how many test images, of as many different classes.
        layers: which layers; by default every convolution.
        channels: how many feature maps of each layer.
        target: the class that class activation maps explain; by default the predicted one.
        data_dir: folder of the data set; by default as in training.
        trust_code: whether the module of your own data set may be imported, which runs its code. Not needed for one
            that this process has imported already.

    Raises:
        InputError: if a name is unknown, the data is missing, or its code is not trusted.
        plots.canvas.NothingToDrawError: if there is nothing to draw, such as gates in a plain network.
    """
    from jaxattn.explain.analysis import History
    from jaxattn.explain.explanation import Selection

    if lookup("plot", plot, PLOTS).source == "history":
        return draw(plot, history=History(run))
    selection = Selection(tuple(layers), channels, target)
    choose = functools.partial(_spread, count=images)
    return draw(plot, **_from_data(run, selection, choose, data_dir, trust_code))


def _from_data(run, selection, choose, data_dir, trust_code):
    """The explanation of the images that are chosen by their labels, and the analysis of the whole test set."""
    from jaxattn.explain.analysis import Analysis
    from jaxattn.explain.explanation import Explanation
    from jaxattn.runs.data import read_test

    analysis = Analysis(run, read_test(run.folder, data_dir, trust_code), selection)
    chosen = analysis.some(choose(analysis.test_labels, run.spec.superclasses))
    return {"explanation": Explanation(run, chosen, selection), "analysis": analysis}


def _spread(labels, superclasses, count):
    from jaxattn.explain.selection import balanced

    if not 1 <= count <= MAX_IMAGES:
        raise InputError(f"images must be from 1 to {MAX_IMAGES}, got {count}", "images")
    return balanced(labels, count, superclasses)


def _picked(labels, superclasses, indices):
    import numpy as np

    outside = [index for index in indices if not 0 <= index < len(labels)]
    if outside or len(indices) > MAX_IMAGES:
        raise InputError(
            f"--pick takes up to {MAX_IMAGES} indices from 0 to {len(labels) - 1}, got "
            + (f"{outside[0]}" if outside else f"{len(indices)} of them")
        )
    return np.array(indices)


if __name__ == "__main__":
    run_command(main)
