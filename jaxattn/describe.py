"""What is known about one attention module: its docstring, its shapes in the tutorial's network, measurements."""

import dataclasses
import functools
import inspect
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from jaxattn.data import cifar10
from jaxattn.errors import lookup

EXPERIMENTS = Path(__file__).parents[1] / "experiments"  # of a checkout; an installed package has none
# Studies in it: the folders of their runs, with their own last, and the number of planned seeds.
MEASURED = {
    "verdict": (("verdict",), 8),
    "verdict-copies": (("verdict-copies",), 8),
    "table": (("verdict", "table"), 6),
}
BASELINE = "none"
USAGE = """\
import jax
from jaxattn.attention import ATTENTION

module = ATTENTION["{name}"]()  # a Linen module, from [B, H, W, C] to [B, H, W, C]
x = jax.random.normal(jax.random.key(0), (8, 16, 16, 64))
y, variables = module.init_with_output(jax.random.key(1), x)"""


class Option(NamedTuple):
    """A field of a module: its name, type, default, and what it is."""

    name: str
    type: str
    default: str
    about: str


class SiteFacts(NamedTuple):
    """What a module does at one site of the tutorial's network.

    Attributes:
        name: of the site.
        shape: [H, W, C] of its input and its output.
        gates: the shape [h, w, c] of each gate's weights, by name.
    """

    name: str
    shape: tuple[int, ...]
    gates: dict[str, tuple[int, ...]]


class Measured(NamedTuple):
    """A verdict on a module.

    Attributes:
        experiment: the folder of its runs, such as "experiments/verdict".
        about: data set and recipe.
        n: number of seeds.
        sentence: the verdict.
    """

    experiment: str
    about: str
    n: int
    sentence: str


class Facts(NamedTuple):
    """One attention module.

    Attributes:
        name: as in `--attention`.
        group: of the registry.
        summary: what it computes, in a sentence.
        details: further paragraphs on that.
        formula, paper, differs: as in the listing.
        source: where it is from, and what is done differently here.
        options: its fields.
        sites: what it does in the tutorial's network.
        measured: verdicts on it; empty if nothing was measured, or measurements are not installed.
    """

    name: str
    group: str
    summary: str
    details: tuple[str, ...]
    formula: str
    paper: str
    differs: str
    source: str
    options: tuple[Option, ...]
    sites: tuple[SiteFacts, ...]
    measured: tuple[Measured, ...]


def describe(name: str, reduction: int = 16, experiments: Path = EXPERIMENTS) -> Facts:
    """What is known about an attention module.

    Args:
        name: as in the registry.
        reduction: channels per hidden unit, if it has hidden units.
        experiments: the folder of measurements; it need not exist.

    Raises:
        InputError: if the name is unknown.
    """
    from jaxattn.attention import resolve
    from jaxattn.attention.registry import GROUPS

    groups = {one: group for group, modules in GROUPS.items() for one in modules}
    group, module = lookup("attention module", name, groups), resolve(name, reduction)
    kind = module.func if isinstance(module, functools.partial) else module
    summary, details, parts = _docstring(kind)
    formula, paper, differs = (getattr(kind, attribute, "") for attribute in ("formula", "paper", "differs"))
    options = _options(module, parts.get("Attributes", ""))
    source = " ".join(parts.get("Source", "").split())
    sites, measured = _sites(module), _measured(name, Path(experiments))
    return Facts(name, group, summary, details, formula, paper, differs, source, options, sites, measured)


def _docstring(kind) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """The first paragraph of a class's docstring, the next ones, and the text of each section."""
    paragraphs = inspect.cleandoc(kind.__doc__).split("\n\n")
    sections = {}
    plain = []
    for paragraph in paragraphs:
        title, _, text = paragraph.partition(":")
        if title in ("Attributes", "Raises", "Source"):
            sections[title] = text
        else:
            plain.append(" ".join(paragraph.split()))
    return plain[0], tuple(plain[1:]), sections


def _options(module, attributes) -> tuple[Option, ...]:
    """The fields of a module, with the defaults of the variant."""
    about = {
        name: " ".join(text.split())
        for names, text in re.findall(r"^    ([\w, ]+): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE)
        for name in names.split(", ")
    }
    default: Any = module()
    fields = [field for field in dataclasses.fields(default) if field.name not in ("parent", "name")]
    return tuple(
        Option(
            one.name, getattr(one.type, "__name__", str(one.type)), repr(getattr(default, one.name)), about[one.name]
        )
        for one in fields
    )


def _sites(module) -> tuple[SiteFacts, ...]:
    """The shapes at each site, found by tracing."""
    import jax
    import jax.numpy as jnp

    from jaxattn.explain.capture import capture
    from jaxattn.networks import CNN
    from jaxattn.networks.network import site_shapes

    network = CNN(attention=module)
    images = jnp.zeros((1, *cifar10.SPEC.image_shape))
    variables = jax.eval_shape(network.init, jax.random.key(0), images)
    gates = jax.eval_shape(lambda values: capture(network, values, images).gates, variables)
    names = [site.name for site in network.sites()]
    return tuple(
        SiteFacts(
            site, shape, {str(gate): one.shape[1:] for gate, one in gates.items() if str(gate).split("/")[0] == site}
        )
        for site, shape in zip(names, site_shapes(network, cifar10.SPEC.image_shape), strict=True)
    )


def _measured(name, experiments) -> tuple[Measured, ...]:
    """The verdict on a module in each folder of measurements that has it and a baseline."""
    from jaxattn.comparison.verdict import judge

    measured = []
    for study, (folders, planned) in MEASURED.items():
        paths = [path for folder in folders for path in sorted((experiments / folder).glob("*-s*/result.json"))]
        results = [json.loads(path.read_text()) for path in paths]
        accuracies: dict[str, dict[int, float]] = {}
        for run in results:
            accuracies.setdefault(run["attention"], {})[run["seed"]] = run["test_accuracy"]
        is_its_own = any(
            path.parts[-3] == study and run["attention"] == name for path, run in zip(paths, results, strict=True)
        )
        if is_its_own and BASELINE in accuracies:
            table = judge(accuracies, BASELINE, (planned,))
            (row,) = (row for row in table.rows if row.variant.name == name)
            about = f"{results[0]['dataset']}, recipe {results[0]['recipe']}"
            sentence = f"{name} {row.verdict.text}" if row.verdict else ""
            measured.append(Measured(f"{experiments.name}/{study}", about, row.variant.n, sentence))
    return tuple(measured)


def shape(axes: tuple[int, ...]) -> str:
    """Axes as text: "16 × 16 × 64"."""
    return " × ".join(map(str, axes))


def gates(site: SiteFacts) -> str:
    """The shapes of a site's gates, with the names of several."""
    names = [name.removeprefix(site.name).lstrip("/#") for name in site.gates]
    return (
        ", ".join(f"{name} {shape(axes)}".strip() for name, axes in zip(names, site.gates.values(), strict=True)) or "–"
    )


def verdicts(facts: Facts) -> list[str]:
    """What was measured for a module, a paragraph for each experiment, or why there is nothing."""
    if not facts.measured and not EXPERIMENTS.is_dir():
        return ["Measurements are in a checkout's folder experiments, not in an installed package."]
    return [
        f"{one.sentence}. Measured on {one.about}, {one.n} seeds: {one.experiment}, whose README says on which images."
        for one in facts.measured
    ] or ["Not measured yet."]


def usage(name: str) -> str:
    """Code that uses a module outside this package's networks."""
    return USAGE.format(name=name)
