"""The gates of a trained run as a figure, and their vital signs as numbers.

python examples/gates_figure.py runs/mine gates.png
"""

import sys

from jaxattn import figure, load_run
from jaxattn.explain.analysis import Analysis
from jaxattn.runs.data import read_test


def main(folder: str, path: str) -> None:
    """Draws the weights of each channel, and prints how much they vary."""
    run = load_run(folder)
    figure(run, "gates").savefig(path, dpi=150)
    for gate, signs in Analysis(run, read_test(run.folder)).signs.items():
        print(
            f"{gate}: mean {signs.mean:.2f}, {signs.between_images:.3f} between images, {signs.by_class:.0%} by class"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
