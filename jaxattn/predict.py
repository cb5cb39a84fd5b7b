"""Classifies image files with a trained network, and explains its predictions.

jaxattn predict RUN IMAGE...
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from jaxattn.cli.command import run_command
from jaxattn.cli.parser import Parser
from jaxattn.cli.runs import add_code_flags, add_weights_flag, load
from jaxattn.errors import InputError
from jaxattn.paths import local_path


def parser() -> Parser:
    """The command line of `jaxattn predict`."""
    parser = Parser(
        prog="jaxattn predict",
        description="Classify image files with the network of a run. An image is cropped around its centre to the "
        "proportions of the training images, and resized to their size.",
    )
    parser.add_argument("run", metavar="RUN", help="run folder")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image file of any format, size and mode")
    parser.add_argument("--top", type=int, metavar="N", help="classes to print, most probable first (default: 3)")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each image, with every class")
    parser.add_argument(
        "--explain", action="store_true", help="draw feature maps, gates and class activation maps of each image"
    )
    parser.add_argument(
        "--class", dest="target", metavar="NAME", help="class that CAMs explain (default: the prediction)"
    )
    add_weights_flag(parser)
    add_code_flags(parser)
    parser.add_argument("--out", metavar="DIR", help="folder for the figures of --explain (default: RUN/explained)")
    return parser


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: if the command line or what it names cannot be used; then nothing is written.
    """
    flags = parser().parse_args(arguments)
    if flags.top is not None and flags.top < 1:
        raise InputError(f"--top must be at least 1, got {flags.top}")
    if flags.json and flags.top is not None:
        raise InputError("--json prints every class, and --top does nothing with it; leave one out")
    if not flags.explain and (flags.target or flags.out):
        raise InputError("--class and --out belong to --explain; add it, or leave them out")
    import numpy as np

    from jaxattn.data.image_file import read_image
    from jaxattn.runs.manifest import read_manifest

    height, width, _ = read_manifest(local_path(flags.run)).data.image_shape
    images = np.stack([read_image(path, height, width) for path in flags.images])
    from jaxattn.explain.explanation import Explanation, Selection

    run, selection = load(flags.run, flags), Selection(target=flags.target)
    predicted = Explanation(run, images, selection).predictions
    for path, probabilities in zip(flags.images, predicted.probabilities.tolist(), strict=True):
        print(_line(path, dict(zip(run.classes, probabilities, strict=True)), flags))
    if flags.explain:
        out = local_path(flags.out, "out") if flags.out else run.folder / "explained"
        for i, name in enumerate(_figure_names(flags.images)):
            one = predicted._replace(images=images[i : i + 1], probabilities=predicted.probabilities[i : i + 1])
            _draw(Explanation(run, one, selection), out, name, sys.stderr if flags.json else sys.stdout)


def _line(path, probabilities, flags):
    ranked = sorted(probabilities, key=probabilities.get, reverse=True)
    if flags.json:
        return json.dumps({"image": path, "class": ranked[0], "probabilities": probabilities}, ensure_ascii=False)
    return f"{path}: " + ", ".join(f"{name} {probabilities[name]:.1%}" for name in ranked[: flags.top or 3])


def _figure_names(paths: list[str]) -> Iterator[str]:
    """A name for each image: that of its file, with the first free number if it is taken."""
    taken: set[str] = set()
    for path in paths:
        stem = Path(path).stem
        name = next(name for name in (stem, *(f"{stem}-{i}" for i in range(2, len(paths) + 2))) if name not in taken)
        taken.add(name)
        yield name


def _draw(explained, out, name, stream):
    """Draws every plot that needs no more than the image, and prints their paths."""
    from jaxattn.plots import PLOTS
    from jaxattn.plots.canvas import NothingToDrawError, write

    for plot, (source, draw) in PLOTS.items():
        if source == "explanation":
            try:
                print(write(draw(explained), out / f"{name}-{plot}.png"), file=stream)
            except NothingToDrawError as nothing:
                print(f"{plot}: {nothing}", file=stream)


if __name__ == "__main__":
    run_command(main)
