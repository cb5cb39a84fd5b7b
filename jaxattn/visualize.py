"""Draws what a trained network sees, and how it was trained, into the run's `figures/`.

python -m jaxattn.visualize RUN
"""

from pathlib import Path

from jaxattn.cli import Parser, names, shell, tune_process
from jaxattn.errors import InputError, lookup

FORMATS = ("png", "svg")
MOST = 64  # pictures on a sheet


def parser() -> Parser:
    """The command line of `python -m jaxattn.visualize`."""
    plots = ", ".join(names("jaxattn.plots", "PLOTS"))
    made = Parser(
        prog="python -m jaxattn.visualize",
        description="Draw feature maps, gates, class activation maps, curves and scores of a run into RUN/figures.",
    )
    made.add_argument("run", metavar="RUN", help="folder of the run")
    made.add_argument("--plot", nargs="+", metavar="NAME", help=f"what to draw (default: all): {plots}")
    made.add_argument(
        "--layers",
        nargs="+",
        metavar="LAYER",
        default=(),
        help="layers to look at, such as conv1 norm1 attention1 block1 (default: every conv)",
    )
    which = made.add_mutually_exclusive_group()
    which.add_argument(
        "--images", type=int, metavar="N", default=3, help="test pictures to look at, classes in turn (default: 3)"
    )
    which.add_argument("--pick", type=int, nargs="+", metavar="I", help="their places in the test set instead, from 0")
    made.add_argument("--channels", type=int, metavar="N", default=9, help="feature maps of each layer (default: 9)")
    made.add_argument("--class", dest="target", metavar="NAME", help="class that CAMs explain (default: the predicted)")
    made.add_argument("--weights", metavar="WHICH", default="tested", help="best, last or tested (default: tested)")
    made.add_argument("--format", nargs="+", metavar="F", default=FORMATS, help="png, svg or both (default: both)")
    made.add_argument("--data-dir", metavar="DIR", help="folder that holds the data set (default: as it was trained)")
    made.add_argument("--out", metavar="DIR", help="folder for the figures (default: RUN/figures)")
    return made


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: where the command line or what it names cannot be used.
    """
    flags = parser().parse_args(arguments)
    from jaxattn.plots import PLOTS
    from jaxattn.plots.canvas import NothingToDrawError, write

    for kind, asked, known in (("plot", flags.plot or (), PLOTS), ("format", flags.format, dict.fromkeys(FORMATS))):
        for name in asked:
            lookup(kind, name, known)
    tune_process()
    from jaxattn.pictures import Choice, draw

    choice = Choice(tuple(flags.layers), flags.channels, flags.target)
    sources = _sources(flags, choice)
    out = Path(flags.out) if flags.out else Path(flags.run, "figures")
    for name in dict.fromkeys(flags.plot or PLOTS):
        try:
            figure = draw(name, *sources)
        except NothingToDrawError as nothing:
            print(f"{name}: {nothing}")
            continue
        for form in dict.fromkeys(flags.format):
            print(write(figure, out / f"{name}.{form}"))


def _sources(flags, choice):
    """The pictures that are looked at, and the study of the whole test set."""
    from jaxattn.pictures import Look, Study, balanced, read_test
    from jaxattn.run import load_run

    run = load_run(flags.run, flags.weights)
    test = read_test(run, flags.data_dir)
    shown = test.take(_places(flags, test.labels, balanced))
    look = Look(run, shown.images, shown.labels, shown.masks, choice)
    return look, Study(run, test, choice)


def _places(flags, labels, balanced):
    if flags.pick is None:
        if not 1 <= flags.images <= MOST:
            raise InputError(f"--images must be from 1 to {MOST}, got {flags.images}")
        return balanced(labels, flags.images)
    outside = [place for place in flags.pick if not 0 <= place < len(labels)]
    if outside or len(flags.pick) > MOST:
        raise InputError(
            f"--pick takes up to {MOST} places from 0 to {len(labels) - 1}, got "
            + (f"{outside[0]}" if outside else f"{len(flags.pick)} of them")
        )
    return flags.pick


if __name__ == "__main__":
    shell(main)
