"""Trains the CNN, with or without attention, into a run folder.

python -m jaxattn.train --attention
"""

from jaxattn.cli.command import run_command
from jaxattn.cli.parser import Parser, add_config_flags
from jaxattn.config import Config
from jaxattn.data import DATASETS
from jaxattn.errors import InputError
from jaxattn.runs.console import Console

WITH_RESUME = {"epochs", "data_dir"}  # fields that may be given with --resume


def parser() -> Parser:
    """The command line of `python -m jaxattn.train`."""
    made = Parser(
        prog="python -m jaxattn.train",
        description="Train the three-block CNN on CIFAR-10, with or without attention, and write a run folder.",
    )
    where = made.add_argument_group("where")
    where.add_argument("--out", metavar="DIR", help="run folder (default: runs/<date>-<dataset>-<attention>-s<seed>)")
    where.add_argument(
        "--resume",
        metavar="DIR",
        help="continue the run in DIR; of the other flags only --epochs, --data-dir, --distributed and --no-report "
        "may be given with it",
    )
    where.add_argument("--distributed", action="store_true", help="join the other processes, as JAX's environment says")
    where.add_argument("--no-report", action="store_true", help="write no report.html at the end")
    add_config_flags(made, DATASETS)
    return made


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: where the command line or what it names cannot be used.
    """
    values = vars(parser().parse_args(arguments))
    out, folder = values.pop("out"), values.pop("resume")
    distributed, no_report = values.pop("distributed"), values.pop("no_report")
    if folder is not None and (out is not None or values.keys() - WITH_RESUME):
        raise InputError(
            "--resume takes its flags from the run; only --epochs, --data-dir, --distributed and --no-report may be "
            "given with it"
        )
    config = None if folder is not None else Config(**values)
    Console().note("loading JAX and the data")
    if distributed:
        from jaxattn.training.processes import connect

        connect()
    from jaxattn.runs.fit import fit, resume

    run = resume(folder, **values) if config is None else fit(config, out)
    if not no_report:
        _report(run)


def _report(run):
    """Writes the report, or says in one line why not: the run is complete whatever happens here."""
    from jaxattn.training.processes import is_first

    if not is_first():
        return
    console = Console()
    try:
        from jaxattn.report.page import write_report

        console.line(f"report: {write_report([run])}")
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        console.line(f"warning: no report: {reason}; try again with: python -m jaxattn.report {run.folder}")


if __name__ == "__main__":
    run_command(main)
