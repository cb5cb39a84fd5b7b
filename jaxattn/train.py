"""Trains the CNN, with or without channel attention, and writes a run folder.

python -m jaxattn.train --attention
"""

from jaxattn.cli import Parser, add_config_flags, names, shell, tune_process
from jaxattn.config import Config
from jaxattn.errors import InputError


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
        help="go on with the run in DIR; only --epochs, --data-dir and --no-report go with it",
    )
    where.add_argument(
        "--distributed", action="store_true", help="be one of several processes, as JAX's environment says"
    )
    where.add_argument("--no-report", action="store_true", help="write no report.html at the end")
    known = {
        "attention": names("jaxattn.attention", "ATTENTION"),
        "dataset": names("jaxattn.data", "DATASETS"),
        "augment": names("jaxattn.data.augment", "AUGMENT"),
        "schedule": names("jaxattn.optim", "SCHEDULES"),
    }
    add_config_flags(made, known)
    return made


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: where the command line or what it names cannot be used.
    """
    values = vars(parser().parse_args(arguments))
    out, folder = values.pop("out"), values.pop("resume")
    distributed, silent = values.pop("distributed"), values.pop("no_report")
    if folder is not None and (out is not None or values.keys() - {"epochs", "data_dir"}):
        raise InputError("--resume takes its flags from the run; only --epochs, --data-dir and --no-report go with it")
    config = None if folder is not None else Config(**values)
    tune_process()
    if distributed:
        from jaxattn import devices

        devices.connect()
    from jaxattn.run import fit, resume

    run = fit(config, out) if folder is None else resume(folder, **values)
    if not silent:
        _report(run)


def _report(run):
    """Writes the report, or says in one line why not: the run is whole whatever happens here."""
    from jaxattn import devices
    from jaxattn.report import write_report
    from jaxattn.screen import Screen

    if not devices.is_first():
        return
    try:
        Screen().line(f"report: {write_report([run])}")
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        Screen().line(f"warning: no report: {reason}; try again with: python -m jaxattn.report {run.folder}")


if __name__ == "__main__":
    shell(main)
