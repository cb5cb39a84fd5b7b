"""Runs the notebook from top to bottom in a kernel of its own, and checks that each cell gives what it promises.

python experiments/colab/run.py
"""

import argparse
import contextlib
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
# What each code cell must give, in their order: a regular expression for its text, or a type of output.
PROMISES = [
    "^$",  # parameters
    r"^jax [0-9.]+ sees [1-9]",
    r"runs are in .*, copies in no other place",
    "text/html",  # the plain run
    "text/html",  # the one with attention
    "text/html",  # the report
    "text/html",  # TensorBoard
    "image/png",  # feature maps
    "image/png",  # heatmap
    "image/png",  # gates
    "image/png",  # a picture, explained
    r"(Writing|Overwriting) mine\.py",
    "image/png",  # the module's gates
    r"none: [0-9.]+%.* the baseline\nse: [0-9.]+%.*: \w+",
    "text/html",  # the comparison
    "the same run: True",
    "text/markdown",  # the model card
    "text/markdown",  # modules
]
LINES = 60  # maximum per cell
# Words of the cells that show something, of the module of one's own, and of the comparison.
OTHERS = ("write_report", "%tensorboard", "figure(", "predict.main", "modules.main", "mine", "result")


def text_of(cell):
    """All text that a cell printed."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def check(promised):
    """Checks pairs of a code cell and its promise.

    Raises:
        AssertionError: where one does not give what it promises.
    """
    for cell, promise in promised:
        kinds = {kind for output in cell.outputs for kind in output.get("data", ())}
        is_kept = promise in kinds if re.fullmatch(r"\w+/\w+", promise) else re.search(promise, text_of(cell))
        assert is_kept, f"{promise!r} is not in what this cell gave:\n{cell.source}\n{cell.outputs}"
        assert text_of(cell).count("\n") < LINES, f"a flood of lines from\n{cell.source}"


def stop_tensorboard(folder):
    """Stops the server that the notebook started; it would outlive the kernel."""
    from tensorboard.manager import get_all

    for info in get_all():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{info.pid}/cwd").resolve() == folder.resolve():
                os.kill(info.pid, signal.SIGTERM)


def main():
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default=str(HERE.parents[1]), help="what is installed (default: this checkout)")
    parser.add_argument("--dataset", default="shapes")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--training-only", action="store_true", help="only install, train, resume and export")
    parser.add_argument("--save", type=Path, help="folder to run in, with executed.ipynb (default: a temporary one)")
    flags = parser.parse_args()
    notebook = nbformat.read(HERE / "jaxattn.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    values = flags.source, flags.dataset, flags.epochs, flags.seeds
    cells[0].source = f"SOURCE, DATASET, EPOCHS, SEEDS = {values}"
    promised = list(zip(cells, PROMISES, strict=True))
    if flags.training_only:
        promised = [pair for pair in promised if not any(word in pair[0].source for word in OTHERS)]
        notebook.cells = [cell for cell, _ in promised]
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where tensorboard is
    with tempfile.TemporaryDirectory() as temporary:
        folder = flags.save or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(folder)}}).execute()
        finally:
            nbformat.write(notebook, folder / "executed.ipynb")
            stop_tensorboard(folder)
    check(promised)
    print(f"{len(promised)} cells gave what they promise")


if __name__ == "__main__":
    main()
