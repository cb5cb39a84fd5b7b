"""Lists every attention module: its cost in the tutorial's network, its formula, and where paper and code differ.

    jaxattn modules
    jaxattn modules se

A table as wide as the terminal, Markdown when piped. With a name, all that is known about that module, as plain text.
"""

import functools
import io
import itertools
import json
import shutil
import sys
import textwrap
from typing import NamedTuple

from jaxattn import describe
from jaxattn.cli.columns import columns
from jaxattn.cli.command import run_command
from jaxattn.cli.parser import Parser, attention, complete_from
from jaxattn.data import cifar10
from jaxattn.errors import InputError, shortened
from jaxattn.runtime import require_device

IMAGE = cifar10.SPEC.image_shape
HEADER = ("name", "parameters", "multiply-adds", "formula", "paper", "paper and code")
NARROW = 120  # characters; a narrower terminal gets the first four columns


class Row(NamedTuple):
    """One module: `--attention` name, its cost in the three blocks together, and its class's own attributes."""

    group: str
    name: str
    parameters: int
    multiply_adds: float
    formula: str
    paper: str
    differs: str


def block_shapes(image: tuple[int, int, int] = IMAGE) -> list[tuple[int, int, int]]:
    """Shape [H, W, C] of the input of each block's attention, before the pool, for images of shape (H, W, 3)."""
    from jaxattn.networks import CNN
    from jaxattn.networks.network import site_shapes

    return site_shapes(CNN(), image)


def rows(reduction: int = 16) -> list[Row]:
    """A row for each attention module, group by group.

    Args:
        reduction: channels per hidden unit, if a module has hidden units.

    Raises:
        InputError: if JAX has no device to run on.
    """
    from jaxattn.attention.registry import GROUPS

    require_device()
    return [_table_row(group, name, reduction) for group, modules in GROUPS.items() for name in modules]


@functools.cache
def _table_row(group, name, reduction):
    from jaxattn.attention import resolve
    from jaxattn.attention.cost import cost

    module = resolve(name, reduction)
    costs = [cost(module(), shape) for shape in block_shapes()]
    kind = module.func if isinstance(module, functools.partial) else module
    texts = (getattr(kind, attribute, "") for attribute in ("formula", "paper", "differs"))
    return Row(group, name, *map(sum, zip(*costs, strict=True)), *texts)


def _cells(row):
    return [row.name, f"{row.parameters:,}", f"{row.multiply_adds:,.0f}", row.formula, row.paper, row.differs]


def _print_markdown(table):
    for line in (HEADER, ("---", "---:", "---:", "---", "---", "---"), *map(_cells, table)):
        print("|", " | ".join(line), "|")
    print()


def _print_table(table):
    """Prints a table as wide as the terminal, by group: formulas and differences wrap, names and numbers do not."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    shown = HEADER if console.width >= NARROW else HEADER[:4]
    widths = [max(len(_cells(row)[i]) for row in table) for i in range(3)]
    for group, members in itertools.groupby(table, key=lambda row: row.group):
        table = Table(title=group, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
        for i, title in enumerate(shown):
            fixed = {"width": max(widths[i], len(title)), "no_wrap": True} if i < len(widths) else {"overflow": "fold"}
            table.add_column(title, justify="right" if i in (1, 2) else "left", **fixed)
        for row in members:
            table.add_row(*map(escape, _cells(row)[: len(shown)]))
        console.print(table)
    if len(shown) < len(HEADER):
        console.print("Papers, and where their code differs: in a wider terminal, or with --markdown or --json.")


def _print_one(name, reduction):
    """Prints all that is known about one module, as wide as the terminal."""
    from jaxattn.attention.registry import GROUPS

    require_device()
    facts = describe.describe(name, reduction)
    alike = [_table_row(facts.group, other, reduction) for other in GROUPS[facts.group]]
    sites = [["site", "input and output", "gates"]]
    sites += [[site.name, describe.shape(site.shape), describe.gates(site)] for site in facts.sites]
    costs = [["", *HEADER[:3]], *(["*" if row.name == name else "", *_cells(row)[:3]] for row in alike)]
    options = [f"{one.name}: {one.type} = {one.default}: {one.about}" for one in facts.options]
    parts = {
        f"{name} ({facts.group})": [facts.summary, *facts.details],
        "Formula": [facts.formula],
        "Paper": [facts.source],
        "Paper and code": [facts.differs],
        "Options": options,
        "Shapes in the tutorial's network, [H, W, C]": [columns(sites)],
        "Cost in its three blocks, beside the group's other modules": [columns(costs, right=(2, 3))],
        "Did it help?": describe.verdicts(facts),
        "Without jaxattn's training": [describe.usage(name)],
    }
    width = min(shutil.get_terminal_size().columns, NARROW) - 2
    for title, paragraphs in parts.items():
        texts = [text if "\n" in text else textwrap.fill(text, width) for text in paragraphs if text]
        if texts:
            print(f"{title}\n{textwrap.indent(chr(10).join(texts), '  ')}\n")


def parser() -> Parser:
    """The command line of `jaxattn modules`."""
    parser = Parser(prog="jaxattn modules", description="List the attention modules and what each one costs.")
    name = parser.add_argument("name", nargs="?", metavar="NAME", help="describe this module in detail instead")
    complete_from(name, attention)
    parser.add_argument(
        "--reduction", type=int, default=16, metavar="N", help="channels per hidden unit (default: %(default)s)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="a Markdown table (the default when piped)")
    form.add_argument("--json", action="store_true", help="a JSON list")
    return parser


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: if the command line cannot be used.
    """
    flags = parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")
    if flags.name is not None:
        if flags.markdown or flags.json:
            raise InputError("one module is printed as plain text; leave out --markdown and --json, or the name")
        if ":" in flags.name or "+" in flags.name:
            rule = "NAME must be one of the built-in modules, neither a chain nor a class of your own"
            raise InputError(f"{rule}, got {shortened(flags.name)}; see jaxattn modules")
        _print_one(flags.name, flags.reduction)
        return
    table = rows(flags.reduction)
    if flags.json:
        print(json.dumps([row._asdict() for row in table], indent=1))
        return
    if sys.stdout.isatty() and not flags.markdown:
        _print_table(table)
    else:
        _print_markdown(table)
    from jaxattn.attention.cost import cost
    from jaxattn.networks import CNN

    plain = cost(CNN(), IMAGE)
    note = (
        f"Cost for one image of {IMAGE[0]}x{IMAGE[1]}, all three blocks together, multiply-adds as half the operations "
        f"that XLA counts; the plain network has {plain.parameters:,} parameters and {plain.multiply_adds:,.0f} "
        "multiply-adds. --attention also takes wide:NAME (no attention, but the last block widened until it has at "
        "least the parameters of NAME), NAME+NAME (one after the other) and package.module:ClassName (a Linen module "
        "of your own)."
    )
    print(textwrap.fill(note, min(shutil.get_terminal_size().columns, NARROW)))


if __name__ == "__main__":
    run_command(main)
