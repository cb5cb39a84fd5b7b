"""What the code promises of itself: the order of imports, the size of files, documented names, quick commands."""

import ast
import graphlib
import importlib
import inspect
import pkgutil
import re
import statistics
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxattn
from jaxattn.attention import ATTENTION
from jaxattn.config import Config
from jaxattn.data.augment import AUGMENT
from jaxattn.training.optim import SCHEDULES

ROOT = Path(jaxattn.__file__).parent
MODULES = sorted(module.name for module in pkgutil.walk_packages([str(ROOT)], "jaxattn."))

# From the ground up: a folder or file imports only from lines above its own, or within its folder without a cycle.
ORDER = [
    {"errors", "types"},
    {"fields", "limits", "metrics", "paths", "templates", "tree"},
    {"recipes"},
    {"config", "lock", "runtime"},
    {"array_file"},
    {"layers"},
    {"attention"},
    {"networks"},
    {"convert"},
    {"data"},
    {"training"},
    {"runs"},
    {"explain"},
    {"plots"},
    {"cli"},
    {"report"},
    {"observers", "robustness"},
    {"comparison", "exports"},
    {"describe"},
    {"doctor", "export", "modules", "predict", "train", "visualize"},
]
KNOW_CONFIG = {"program", "loop"}  # of what stands below `runs`
READING_PATH = (
    "train.py", "runs/fit.py", "training/loop.py", "training/step.py", "networks/cnn.py", "attention/se.py",
)  # fmt: skip
UNITS = {"loss": "nats", "seconds": "second", "accuracy": "fraction", "reduction": "hidden", "patience": "epochs"}


def part_of(name):
    return "train" if name.endswith(".__main__") else name.split(".")[1]  # a command


def level(name):
    (found,) = (number for number, parts in enumerate(ORDER) if part_of(name) in parts)
    return found


def path_of(name):
    path = ROOT.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def tree_of(name):
    return ast.parse(path_of(name).read_text())


def imported(name):
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "jaxattn":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("jaxattn"))


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_strictly_down_or_stay_in_their_folder(name):
    for other in imported(name):
        if other != "jaxattn":
            assert level(other) < level(name) or part_of(other) == part_of(name), f"{name} imports {other}"


def test_no_folder_holds_a_cycle():
    graph = {name: {other for other in imported(name) if other in MODULES and other != name} for name in MODULES}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises where there is one


def test_only_the_program_and_what_stands_above_it_know_the_configuration():
    for name in MODULES:
        below = level(name) < level("jaxattn.runs") and name != "jaxattn.config"
        if below and name.rpartition(".")[2] not in KNOW_CONFIG:
            assert "jaxattn.config" not in set(imported(name)), name


def test_platforms_are_told_apart_in_layers_and_runtime_only():
    for name in MODULES:
        if part_of(name) not in ("layers", "runtime"):
            assert "platform_dependent" not in path_of(name).read_text(), name


def test_programs_that_run_are_made_by_runtime_alone():
    only_lowered = {"jaxattn.attention.cost", "jaxattn.exports.stablehlo"}
    for name in set(MODULES) - {"jaxattn.runtime"} - only_lowered:
        assert "jax.jit" not in path_of(name).read_text(), f"{name}: runtime.jit knows which products may be wrong"


def strings(tree):
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and node.body
                  and isinstance(node.body[0], ast.Expr)}  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_flags_are_named_by_the_commands_and_never_by_the_library():
    for name in MODULES:
        commands = level(name) == len(ORDER) - 1 or part_of(name) in ("cli",)
        if not commands and name not in ("jaxattn.runtime", "jaxattn.comparison.flags"):  # flags of XLA, and a command
            for text in strings(tree_of(name)):
                assert not re.search(r"(^|[ (])--[a-z]", text), f"{name}: {text}"


# sizes


def functions():
    for name in MODULES:
        for node in ast.walk(tree_of(name)):
            if isinstance(node, ast.FunctionDef):
                yield f"{name}.{node.name}", node.end_lineno - node.lineno + 1


def lines(path):
    return len(path.read_text().splitlines())


def test_files_are_short():
    sizes = {str(path): lines(path) for path in ROOT.rglob("*.py")}
    assert statistics.median(sizes.values()) <= 80
    assert {path: size for path, size in sizes.items() if size > 250} == {}


def test_functions_are_short():
    sizes = dict(functions())
    assert {name: size for name, size in sizes.items() if size > 45} == {}
    assert statistics.quantiles(sizes.values(), n=10)[-1] <= 25


def test_the_main_job_is_told_in_six_files():
    assert sum(lines(ROOT / path) for path in READING_PATH) <= 700
    text = (ROOT.parent / "ARCHITECTURE.md").read_text()
    assert " → ".join(f"`{path}`" for path in READING_PATH) in " ".join(text.split())


# docstrings


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


every_public_thing = pytest.mark.parametrize(
    ("name", "thing"), [pytest.param(*pair, id=pair[0]) for pair in public_things()]
)


def is_array(annotation):
    text = str(annotation)
    return annotation in (jax.Array, np.ndarray) or "Array, '" in text or "ndarray, '" in text or text == "Array"


@every_public_thing
def test_docstrings_give_shapes_and_units(name, thing):
    text = inspect.getdoc(thing)
    assert text and text.splitlines()[0].rstrip().endswith((".", ":")), name
    if not inspect.isfunction(inspect.unwrap(thing)):
        return
    parameters = inspect.signature(thing).parameters.values()
    if any(is_array(parameter.annotation) for parameter in parameters):
        assert "[" in text or "scalar" in text, f"{name} takes arrays and gives no shapes"
    for parameter in parameters:
        unit = UNITS.get(parameter.name)
        assert unit is None or unit in text, f"{name} takes {parameter.name} and gives no unit"


def raised(function):
    """Whether a function raises an error of its own, not in an inner function, and none that it only passes on."""
    source = inspect.getsource(inspect.unwrap(function))
    (tree,) = ast.parse("if True:\n" + source if source[0].isspace() else source).body
    node = tree.body[0] if isinstance(tree, ast.If) else tree
    inner = {id(one) for part in ast.walk(node) if isinstance(part, ast.FunctionDef) and part is not node
             for one in ast.walk(part)}  # fmt: skip
    return any(
        isinstance(one, ast.Raise) and one.exc is not None and id(one) not in inner
        and getattr(one.exc, "id", "") != "NotImplementedError"
        for one in ast.walk(node)
    )  # fmt: skip


@every_public_thing
def test_docstrings_say_what_is_raised_and_where_a_method_comes_from(name, thing):
    text = inspect.getdoc(thing) or ""
    if inspect.isfunction(inspect.unwrap(thing)) and "<locals>" not in thing.__qualname__ and raised(thing):
        assert "Raises" in text, f"{name} raises and does not say so"
    assert "Source:" in text or "arXiv" not in text, f"{name} names a paper outside of Source:"


@pytest.mark.parametrize("name", [name for name in ATTENTION if name != "none"])
def test_every_attention_module_names_its_source(name):
    module = getattr(ATTENTION[name], "func", ATTENTION[name])
    assert "Source:" in module.__doc__


# commands


@pytest.mark.parametrize(
    "command", ["train", "visualize", "report.__main__", "robustness.__main__", "predict", "modules", "export"]
)
def test_help_loads_no_heavy_package(command):
    code = (
        f"import sys; from jaxattn.{command} import parser; parser().format_help(); print([m for m in "
        "('jax', 'flax', 'optax', 'tensorflow_datasets', 'matplotlib', 'scipy.stats') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    ).stdout
    assert out.strip() == "[]"


def test_choices_of_the_configuration_are_the_names_of_the_registries():
    fields = Config.__dataclass_fields__
    assert fields["augment"].metadata["choices"] == tuple(AUGMENT)
    assert fields["schedule"].metadata["choices"] == tuple(SCHEDULES)


def test_importing_the_package_loads_nothing():
    code = "import sys, jaxattn; print([m for m in ('jax', 'flax', 'numpy') if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    ).stdout
    assert out.strip() == "[]"
