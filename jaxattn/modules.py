"""Lists every attention module: what it costs in this network, its formula, and where its paper and its code differ.

    python -m jaxattn.modules

A table on a terminal, Markdown elsewhere.
"""

import functools
import sys
from typing import NamedTuple

from jaxattn.attention import ATTENTION, resolve
from jaxattn.attention.cost import Cost, cost
from jaxattn.cli import Parser, shell
from jaxattn.model import CNN

IMAGE = (32, 32, 3)
HEADER = ("name", "parameters", "multiply-adds", "formula", "paper", "paper and code")


class Row(NamedTuple):
    """One module: `--attention` name, its cost in the three blocks together, and what its class says of itself."""

    name: str
    cost: Cost
    formula: str
    paper: str
    differs: str


def block_shapes(image: tuple[int, int, int] = IMAGE) -> list[tuple[int, int, int]]:
    """Shape [H, W, C] of the map that the attention of each block sees, before the pool."""
    return [(image[0] >> i, image[1] >> i, channels) for i, channels in enumerate(CNN.widths)]


def rows(reduction: int = 16) -> list[Row]:
    """A row for each name in `ATTENTION`.

    Args:
        reduction: channels per hidden unit, where a module has hidden units.
    """
    return [_row(name, resolve(name, reduction)) for name in ATTENTION]


def _row(name, module):
    if module is None:
        return Row(name, Cost(0, 0), "x", "", "")
    costs = [cost(module(), shape) for shape in block_shapes()]
    said = module.func if isinstance(module, functools.partial) else module
    return Row(name, Cost(*map(sum, zip(*costs, strict=True))), said.formula, said.paper, said.differs)


def _cells(row):
    return [row.name, f"{row.cost.parameters:,}", f"{row.cost.multiply_adds:,.0f}", row.formula, row.paper, row.differs]


def _print_markdown(cells):
    for line in (HEADER, ("---", "---:", "---:", "---", "---", "---"), *cells):
        print("|", " | ".join(line), "|")
    print()


def _print_table(cells):
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in HEADER:
        number = title in ("parameters", "multiply-adds")
        table.add_column(title, justify="right" if number else "left", no_wrap=number or title == "name")
    for line in cells:
        table.add_row(*line)
    Console(markup=False, highlight=False).print(table)


def parser() -> Parser:
    """The command line of `python -m jaxattn.modules`."""
    made = Parser(prog="python -m jaxattn.modules", description="List the attention modules and what each one costs.")
    made.add_argument(
        "--reduction", type=int, default=16, metavar="N", help="channels per hidden unit (default: %(default)s)"
    )
    return made


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: where the command line cannot be used.
    """
    cells = [_cells(row) for row in rows(parser().parse_args(arguments).reduction)]
    if sys.stdout.isatty():
        _print_table(cells)
    else:
        sys.stdout.reconfigure(encoding="utf-8")
        _print_markdown(cells)
    plain = cost(CNN(), IMAGE)
    print(
        f"Cost for one image of {IMAGE[0]}x{IMAGE[1]}, all three blocks together; the plain network has "
        f"{plain.parameters:,} parameters and {plain.multiply_adds:,.0f} multiply-adds.\n"
        "--attention also takes wide:NAME (no attention, the last block widened until it has at least the parameters\n"
        "of NAME), NAME+NAME (in a row) and package.module:ClassName (a Linen module of your own)."
    )


if __name__ == "__main__":
    shell(main)
