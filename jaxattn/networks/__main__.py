"""Lists the networks: what they cost, and where attention can be placed in them.

jaxattn networks
"""

import json
from typing import Any

from jaxattn.cli.columns import columns
from jaxattn.cli.command import run_command
from jaxattn.cli.parser import Parser
from jaxattn.data import cifar10
from jaxattn.recipes import recipes
from jaxattn.runtime import require_device

SHAPE = cifar10.SPEC.image_shape
MORE = ("wrn-16-4", "wrn-28-10")  # examples of "wrn-DEPTH-WIDTH"
HEADER: tuple[str, ...] = ("name", "parameters", "multiply-adds", "sites", "positions", "recipes")


def parser() -> Parser:
    """The command line of `jaxattn networks`."""
    parser = Parser(
        prog="jaxattn networks",
        description="List the networks, with their cost for 10 classes and one image of 32x32. Besides these, "
        "--network takes wrn-DEPTH-WIDTH with any depth of 6 n + 4, and package.module:Class for one of your own.",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--sites", metavar="NAME", help="the sites of one network, with the shapes of their maps")
    form.add_argument("--json", action="store_true", help="a JSON list")
    return parser


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: if the command line cannot be used, or there is no such network.
    """
    flags = parser().parse_args(arguments)
    from jaxattn.networks import NETWORKS, create
    from jaxattn.networks.network import site_shapes

    require_device()
    if flags.sites:
        network = create("none", 16, SHAPE, flags.sites)
        lines: list[tuple[str, ...]] = [("number", "site", "stage", "height x width x channels")]
        for number, (site, shape) in enumerate(zip(network.sites(), site_shapes(network, SHAPE), strict=True), 1):
            lines.append((str(number), site.name, str(site.stage), "x".join(map(str, shape))))
        print(columns(lines, right=(0,)))
        return
    rows = [_row(name, create("none", 16, SHAPE, name)) for name in (*NETWORKS, *MORE)]
    if flags.json:
        print(json.dumps(rows, indent=1))
        return
    lines = [HEADER]
    for row in rows:
        numbers = f"{row['parameters']:,}", f"{row['multiply_adds']:,.0f}", str(row["sites"])
        lines.append((row["name"], *numbers, ", ".join(row["positions"]), ", ".join(row["recipes"])))
    print(columns(lines, right=(1, 2, 3)))


def _row(name: str, network: Any) -> dict[str, Any]:
    from jaxattn.attention.cost import cost

    return {
        "name": name,
        **cost(network, SHAPE)._asdict(),
        "sites": len(network.sites()),
        "positions": network.positions,
        "recipes": list(recipes(name)),
    }


if __name__ == "__main__":
    run_command(main)
