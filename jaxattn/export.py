"""Exports the network of a run for other programs.

jaxattn export RUN --to FORMAT
"""

from jaxattn.cli.command import run_command
from jaxattn.cli.parser import Parser, complete_from
from jaxattn.cli.runs import add_code_flags, load
from jaxattn.exports import FORMATS


def parser() -> Parser:
    """The command line of `jaxattn export`."""
    parser = Parser(
        prog="jaxattn export",
        description="Export the network of a run, with the weights that were tested: as safetensors with a model card, "
        "as a PyTorch state dict with a module that reads it, or as a StableHLO program that needs JAX alone.",
    )
    parser.add_argument("run", metavar="RUN", help="run folder")
    complete_from(parser.add_argument("--to", metavar="FORMAT", required=True, help=", ".join(FORMATS)), FORMATS)
    parser.add_argument("--out", metavar="DIR", help="folder to write (default: RUN/export-FORMAT)")
    add_code_flags(parser)
    return parser


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: if the command line or what it names cannot be used; then nothing is written.
    """
    flags = parser().parse_args(arguments)
    from jaxattn.exports.folder import check_format, export

    check_format(flags.to)  # before the run is loaded
    for path in export(load(flags.run, flags), flags.to, flags.out):
        print(path)


if __name__ == "__main__":
    run_command(main)
