"""`--trust-code` and `--accept-changed-code` act in each command, in a process that has not imported the code."""

import functools
import importlib
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from jaxattn import figure, load_run
from jaxattn.cli.command import run_command
from jaxattn.cli.commands import COMMANDS
from jaxattn.comparison.compare import compare
from jaxattn.comparison.variants import file_names
from jaxattn.errors import InputError
from jaxattn.report import page
from jaxattn.report.page import write_report
from jaxattn.runs.console import Console
from jaxattn.runs.store import read_sealed

PACKAGE = "package_of_flags"
FILES = {
    "__init__.py": "",
    "gates.py": """
from flax import linen as nn
from jaxattn.attention import Gate

class Own(Gate):
    def gate(self, x):
        return nn.sigmoid(x.mean(axis=(1, 2), keepdims=True))
""",
    "images.py": "import tiny\nTINY = tiny.dataset()\n",
}
ATTENTION, DATA = f"{PACKAGE}.gates:Own", f"{PACKAGE}.images:TINY"
RUN = f"{file_names([ATTENTION])[ATTENTION]}-s0"
# Each command that opens runs; most read their data set, too.
LINES = [
    "report RUN", "visualize RUN --plot confusion", "compare DIR", "compare --runs NONE RUN --out OUT",
    "robustness RUN --corruptions blur --images 10 --out OUT", "predict RUN IMAGE", "train --resume RUN --no-report",
    "export RUN --to safetensors",
]  # fmt: skip
pytestmark = pytest.mark.usefixtures("small_network", "no_figures")


def forget():
    """Forgets what was imported of the package, as a new process would."""
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture(scope="module")
def compared(small_network, tmp_path_factory):
    """A comparison of the user's own module on the user's own data set, and their package beside it."""
    parent = tmp_path_factory.mktemp("own")
    (parent / PACKAGE).mkdir()
    for name, text in FILES.items():
        (parent / PACKAGE / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(parent)
        patch.setattr("jaxattn.comparison.page._draw", lambda *arguments: {})
        patch.setattr("jaxattn.comparison.page._gates", lambda *arguments: {})
        settings = {"dataset": DATA, "epochs": 1, "batch_size": 6, "recipe": "original"}
        compare(["none", ATTENTION], 1, parent / "compared", Console(quiet=True), **settings)
    forget()
    return parent


@pytest.fixture
def copy(compared, tmp_path, monkeypatch):
    """A copy of the comparison and of the package, of which nothing is imported."""
    shutil.copytree(compared, tmp_path, dirs_exist_ok=True)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(page, "SCORED", 4)
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "image.png")
    forget()
    yield tmp_path
    forget()


def run(folder, line, *flags, monkeypatch, capsys):
    """The exit code of a command line in a new process, and its last line."""
    home = folder / "compared"
    places = {"RUN": home / RUN, "NONE": home / "none-s0", "DIR": home, "OUT": folder / "out",
              "IMAGE": folder / "image.png"}  # fmt: skip
    name, *words = (str(places.get(word, word)) for word in line.split())
    monkeypatch.setattr(sys, "argv", [f"jaxattn {name}", *words, *flags])
    forget()
    with pytest.raises(SystemExit) as ended:
        run_command(importlib.import_module(COMMANDS[name].module).main)
    printed = capsys.readouterr()
    return ended.value.code, printed.err if ended.value.code else printed.out


@pytest.mark.parametrize("line", LINES)
def test_code_is_imported_only_with_the_flag_and_used_when_changed_only_with_the_other(copy, line, monkeypatch, capsys):
    command = functools.partial(run, copy, line, monkeypatch=monkeypatch, capsys=capsys)
    code, error = command()
    assert code == 2 and "whose code would run" in error and "(--trust-code)" in error
    assert not sys.modules.keys() & {PACKAGE}
    assert command("--trust-code")[0] == 0
    with (copy / PACKAGE / "gates.py").open("a") as file:
        file.write("# changed\n")
    code, error = command("--trust-code")
    assert code == 2 and f"the code of {ATTENTION} has changed since" in error and "(--accept-changed-code)" in error
    code, printed = command("--trust-code", "--accept-changed-code")
    assert code == 0
    if line.startswith(("compare", "robustness")):
        note = f"{RUN}: the code of {ATTENTION} has changed since it was trained (accepted)"
        assert f"note: {note}\n" in printed
        assert line.startswith("compare") or note in read_sealed(copy / "out" / "robustness.json")["notes"]


def test_the_data_set_of_a_loaded_run_is_read_where_its_code_is_trusted(copy):
    loaded = load_run(copy / "compared" / RUN, trust_code=True)
    for read in (functools.partial(figure, loaded, "confusion"), functools.partial(write_report, [loaded])):
        with pytest.raises(InputError, match=f"names the data set {DATA}, whose code would run"):
            read()
        read(trust_code=True)
        forget()
