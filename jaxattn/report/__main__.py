"""Writes a run, or several side by side, into one HTML file that needs no other file.

jaxattn report RUN [RUN...]
"""

from jaxattn.cli.command import run_command
from jaxattn.cli.parser import Parser
from jaxattn.cli.runs import add_code_flags, add_weights_flag, load
from jaxattn.errors import InputError

MAX_RUNS = 6


def parser() -> Parser:
    """The command line of `jaxattn report`."""
    parser = Parser(
        prog="jaxattn report",
        description="Write a run, or several side by side, into one HTML file: result, training curves, confusion "
        "matrix, an explorer of feature maps and gates, and how to reproduce it.",
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help=f"run folder; up to {MAX_RUNS}, of the same data")
    default = "RUN/report.html; of several, report-of-N.html in the first run's folder"
    parser.add_argument("--out", metavar="FILE", help=f"the file to write (default: {default})")
    add_weights_flag(parser)
    add_code_flags(parser)
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the data set (default: as in training)")
    return parser


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: if the command line or what it names cannot be used.
    """
    flags = parser().parse_args(arguments)
    if len(flags.runs) > MAX_RUNS:
        raise InputError(f"a report holds up to {MAX_RUNS} runs, got {len(flags.runs)}; name fewer")
    from jaxattn.report.page import write_report

    runs = [load(folder, flags) for folder in flags.runs]
    print(write_report(runs, flags.out, flags.data_dir, trust_code=flags.trust_code))


if __name__ == "__main__":
    run_command(main)
