"""What the code promises of itself: imports go down only, public names are documented, shells start quickly."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxattn
from jaxattn.cli import names

ROOT = Path(jaxattn.__file__).parent
MODULES = sorted(module.name for module in pkgutil.walk_packages([str(ROOT)], "jaxattn."))

# A module may import modules of lower levels only, or of its own level within its own package.
LEVELS = {
    0: {
        "errors", "config", "folder", "lock", "init", "ops", "winograd", "optim", "checkpoint", "convert", "screen",
        "attention", "data", "norm", "records", "devices", "picture_file",
    },
    1: {"model", "training", "capture", "cam", "heatmap", "scores", "plots", "pixels", "charts"},
    2: {"program", "run", "pictures", "exhibits", "explorer"},
    3: {"cli", "report"},
    4: {"train", "modules", "visualize", "predict"},
}  # fmt: skip


def level(name):
    room = name.split(".")[1]
    (found,) = (number for number, rooms in LEVELS.items() if room in rooms)
    return found


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("jaxattn"):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("jaxattn"))


def path_of(name):
    path = ROOT.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down_only(name):
    for other in imported(path_of(name)):
        if other != "jaxattn":
            assert level(other) <= level(name), f"{name} imports {other}"


def test_only_the_run_loop_and_the_shells_know_the_configuration():
    for name in MODULES:
        if level(name) < 2 and name not in ("jaxattn.config", "jaxattn.folder"):
            assert "jaxattn.config" not in set(imported(path_of(name))), name


def public_things():
    for name in MODULES:
        module = importlib.import_module(name)
        yield name, module
        for key, thing in vars(module).items():
            if not key.startswith("_") and getattr(thing, "__module__", None) == name and callable(thing):
                yield f"{name}.{key}", thing
                if inspect.isclass(thing):
                    yield from (
                        (f"{name}.{key}.{k}", m)
                        for k, m in vars(thing).items()
                        if inspect.isfunction(m) and k[0] != "_"
                    )


@pytest.mark.parametrize(("name", "thing"), [pytest.param(*pair, id=pair[0]) for pair in public_things()])
def test_public_docstrings_say_what_shapes_and_units(name, thing):
    text = inspect.getdoc(thing)
    assert text and text.splitlines()[0].rstrip().endswith((".", ":")), name
    if inspect.isfunction(thing):
        annotations = [p.annotation for p in inspect.signature(thing).parameters.values()]
        takes_arrays = jax.Array in annotations or np.ndarray in annotations
        assert not takes_arrays or "[" in text or "scalar" in text, f"{name} takes arrays and gives no shapes"


@pytest.mark.parametrize("command", ["train", "visualize", "report", "predict"])
def test_help_loads_no_heavy_package(command):
    code = (
        f"import sys; from jaxattn.{command} import parser; parser().format_help(); "
        "print([m for m in ('jax', 'flax', 'optax', 'tensorflow_datasets', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    ).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "registry"),
    [
        ("jaxattn.attention", "ATTENTION"), ("jaxattn.data", "DATASETS"), ("jaxattn.data.augment", "AUGMENT"),
        ("jaxattn.optim", "SCHEDULES"), ("jaxattn.plots", "PLOTS"),
    ],
)  # fmt: skip
def test_names_that_help_reads_are_those_of_the_registry(module, registry):
    assert names(module, registry) == list(getattr(importlib.import_module(module), registry))


def test_importing_the_package_loads_nothing():
    code = "import sys, jaxattn; print([m for m in ('jax', 'flax', 'numpy') if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    ).stdout
    assert out.strip() == "[]"
