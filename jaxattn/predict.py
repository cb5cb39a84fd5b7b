"""Classifies picture files with a trained network, and draws what it saw in them.

python -m jaxattn.predict RUN IMAGE...
"""

import itertools
import json
from pathlib import Path

from jaxattn.cli import Parser, shell, tune_process
from jaxattn.errors import InputError

TOGETHER = 64  # pictures whose maps are held at once


def parser() -> Parser:
    """The command line of `python -m jaxattn.predict`."""
    made = Parser(
        prog="python -m jaxattn.predict",
        description="Classify picture files with the network of a run. A picture is cut to the proportions of the "
        "pictures it was trained on, around the middle, and scaled to their size.",
    )
    made.add_argument("run", metavar="RUN", help="folder of the run")
    made.add_argument("images", metavar="IMAGE", nargs="+", help="picture of any format, size and mode")
    made.add_argument("--top", type=int, metavar="N", default=3, help="classes to print, likeliest first (default: 3)")
    made.add_argument("--json", action="store_true", help="print a JSON object a picture, with every class")
    made.add_argument(
        "--explain", action="store_true", help="draw feature maps, gates by place and CAMs of each picture"
    )
    made.add_argument("--class", dest="target", metavar="NAME", help="class that CAMs explain (default: the predicted)")
    made.add_argument("--weights", metavar="WHICH", default="tested", help="best, last or tested (default: tested)")
    made.add_argument("--out", metavar="DIR", help="folder for what --explain draws (default: RUN/explained)")
    return made


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: where the command line or what it names cannot be used; then nothing is written.
    """
    flags = parser().parse_args(arguments)
    if flags.top < 1:
        raise InputError(f"--top must be at least 1, got {flags.top}")
    if not flags.explain and (flags.target or flags.out):
        raise InputError("--class and --out belong to --explain; add it, or leave them out")
    import numpy as np

    from jaxattn.folder import read_header
    from jaxattn.picture_file import read_picture

    height, width, _ = read_header(Path(flags.run)).image_shape
    images = np.stack([read_picture(path, height, width) for path in flags.images])
    tune_process()
    from jaxattn.pictures import Choice, Look
    from jaxattn.run import load_run

    run, choice = load_run(flags.run, flags.weights), Choice(target=flags.target)
    looks = (Look(run, images[start : start + TOGETHER], choice=choice) for start in range(0, len(images), TOGETHER))
    found = itertools.chain.from_iterable(look.pictures.probabilities for look in looks)
    for path, probabilities in zip(flags.images, found, strict=True):
        print(_answer(path, dict(zip(run.classes, probabilities.tolist(), strict=True)), flags))
    if flags.explain:
        out = Path(flags.out) if flags.out else run.folder / "explained"
        for name, image in zip(_names(flags.images), images, strict=True):
            _explain(Look(run, image[None], choice=choice), out, name)


def _answer(path, probabilities, flags):
    ranked = sorted(probabilities, key=probabilities.get, reverse=True)
    if flags.json:
        return json.dumps({"image": path, "class": ranked[0], "probabilities": probabilities}, ensure_ascii=False)
    return f"{path}: " + ", ".join(f"{name} {probabilities[name]:.1%}" for name in ranked[: flags.top])


def _names(paths):
    """A name for each picture: that of its file, with the first free number where it is taken."""
    taken = set()
    for path in paths:
        stem = Path(path).stem
        name = next(name for name in (stem, *(f"{stem}-{i}" for i in range(2, len(paths) + 2))) if name not in taken)
        taken.add(name)
        yield name


def _explain(look, out, name):
    """Every plot that needs no more than the picture."""
    from jaxattn.pictures import draw, drawable
    from jaxattn.plots import PLOTS
    from jaxattn.plots.canvas import NothingToDrawError, write

    for plot in PLOTS:
        if drawable(plot, look):
            try:
                print(write(draw(plot, look), out / f"{name}-{plot}.png"))
            except NothingToDrawError as nothing:
                print(f"{plot}: {nothing}")


if __name__ == "__main__":
    shell(main)
