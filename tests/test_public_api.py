"""The public names, and that they are those listed in public_api.txt: a change of it is a change that users see."""

import dataclasses
import importlib
import importlib.util
import inspect
import re
import textwrap
from pathlib import Path

from flax import linen as nn

import jaxattn
from jaxattn import attention
from jaxattn.attention.registry import ATTENTION
from jaxattn.cli.commands import COMMANDS
from jaxattn.networks import NETWORKS
from jaxattn.plots import PLOTS

ROOT, FILE = Path(__file__).parent.parent, Path(__file__).with_name("public_api.txt")
OTHERS = (
    "attention.Gate", "attention.resolve.resolve", "comparison.numbers.of_csv", "comparison.result.Result",
    "convert.load_torch", "data.augment.to_input", "data.dataset.Dataset", "data.spec.Spec", "data.splits.Split",
    "data.splits.Splits", "explain.analysis.Analysis", "explain.capture.capture", "exports.safetensors.load",
    "networks.network.Layer", "networks.network.Network", "networks.network.Site", "networks.network.attend",
    "networks.network.site_shapes", "observers.mirror.Mirror", "observers.tensorboard.TensorBoard",
    "runs.data.read_test", "runs.observer.Observer", "runs.run.Run",
    "runtime.tune", *(f"attention.{name}" for name in attention.__all__ if name[0].isupper() and name != "ATTENTION"),
)  # fmt: skip
REGISTRIES = {"attention modules": ATTENTION, "networks": NETWORKS, "plots": PLOTS}


OF_FLAX = {"parent", "name", "scope"}


def members(thing):
    """Fields, methods and properties of a class without those of Flax; arguments of a function."""
    if not inspect.isclass(thing):
        return [*inspect.signature(thing).parameters]
    fields = [field.name for field in dataclasses.fields(thing)] if dataclasses.is_dataclass(thing) else []
    fields += getattr(thing, "_fields", ())
    own = [name for kind in thing.__mro__ if kind.__module__.startswith("jaxattn") for name in vars(kind)]
    hidden = OF_FLAX if issubclass(thing, nn.Module) else ()
    return [name for name in dict.fromkeys([*fields, *own]) if name[0] != "_" and name not in hidden]


def listed():
    names = {f"jaxattn.{name}": getattr(jaxattn, name) for name in jaxattn.__all__}
    for path in OTHERS:
        module, name = f"jaxattn.{path}".rsplit(".", 1)
        names[f"jaxattn.{path}"] = getattr(importlib.import_module(module), name)
    lines = {name: [] if isinstance(thing, dict) else members(thing) for name, thing in sorted(names.items())}
    lines |= {title: [*registry] for title, registry in REGISTRIES.items()}
    for name, command in COMMANDS.items():
        flags = importlib.import_module(command.module).parser()._option_string_actions
        lines[f"jaxattn {name}"] = sorted(flag for flag in flags if flag.startswith("--"))
    texts = (f"{name}: {', '.join(values)}" if values else name for name, values in lines.items())
    return "".join(textwrap.fill(text, 78, subsequent_indent="    ", break_on_hyphens=False) + "\n" for text in texts)


def test_public_names_are_those_listed():
    assert listed() == FILE.read_text(), "a change that is meant goes into this file, and into the changelog"


def test_names_that_the_documentation_imports_are_listed():
    public = {re.split(r"[:\s]", line)[0] for line in FILE.read_text().splitlines()}
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.py")]
    for page in pages:
        for module, names in re.findall(r"^ *from (jaxattn[\w.]*) import ([\w, ]+)", page.read_text(), re.MULTILINE):
            for name in (one.strip() for one in names.split(",")):
                is_module = importlib.util.find_spec(f"{module}.{name}") if module == "jaxattn" else None
                assert f"{module}.{name}" in public or is_module, f"{page.name}: {module}.{name}"
