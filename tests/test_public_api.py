"""The public names, and that they are those listed in public_api.txt: a change of it is a change that users see."""

import dataclasses
import importlib
import inspect
import textwrap
from pathlib import Path

from flax import linen as nn

import jaxattn
from jaxattn.attention.gate import Gate
from jaxattn.attention.registry import ATTENTION
from jaxattn.cli.commands import COMMANDS
from jaxattn.comparison.result import Result
from jaxattn.data.dataset import Dataset
from jaxattn.data.spec import Spec
from jaxattn.networks import NETWORKS
from jaxattn.networks.network import Layer, Network, Site, attend
from jaxattn.plots import PLOTS
from jaxattn.runs.observer import Observer
from jaxattn.runs.run import Run

FILE = Path(__file__).with_name("public_api.txt")
OTHERS = {
    "jaxattn.attention.Gate": Gate,
    "jaxattn.comparison.result.Result": Result,
    "jaxattn.data.dataset.Dataset": Dataset,
    "jaxattn.data.spec.Spec": Spec,
    "jaxattn.networks.network.Network": Network,
    "jaxattn.networks.network.Layer": Layer,
    "jaxattn.networks.network.Site": Site,
    "jaxattn.networks.network.attend": attend,
    "jaxattn.runs.observer.Observer": Observer,
    "jaxattn.runs.run.Run": Run,
}
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
    names = {f"jaxattn.{name}": getattr(jaxattn, name) for name in jaxattn.__all__} | OTHERS
    lines = {name: [] if isinstance(thing, dict) else members(thing) for name, thing in sorted(names.items())}
    lines |= {title: [*registry] for title, registry in REGISTRIES.items()}
    for name, command in COMMANDS.items():
        flags = importlib.import_module(command.module).parser()._option_string_actions
        lines[f"jaxattn {name}"] = sorted(flag for flag in flags if flag.startswith("--"))
    texts = (f"{name}: {', '.join(values)}" if values else name for name, values in lines.items())
    return "".join(textwrap.fill(text, 78, subsequent_indent="    ", break_on_hyphens=False) + "\n" for text in texts)


def test_public_names_are_those_listed():
    assert listed() == FILE.read_text(), "a change that is meant goes into this file, and into the changelog"
