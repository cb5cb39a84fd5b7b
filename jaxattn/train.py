"""Trains a network, with or without attention, into a run folder.

jaxattn train --attention
"""

from typing import Any

from jaxattn.cli.command import quoted, run_command
from jaxattn.cli.parser import Parser, add_config_flags
from jaxattn.cli.runs import CODE_FLAGS, add_cache_flag, add_code_flags, limit_cache
from jaxattn.config import Config, check_effect
from jaxattn.data import DATASETS, start_reading
from jaxattn.errors import InputError, Interrupted, first_line
from jaxattn.runs.console import Console

WITH_RESUME = {"epochs", "data_dir"}  # fields that may be given with --resume
ONLY = "with it, only --epochs, --data-dir and the flags of this group except --out may be given"


def parser() -> Parser:
    """The command line of `jaxattn train`."""
    parser = Parser(prog="jaxattn train", description="Train a network, and write a run folder.")
    where = parser.add_argument_group("where")
    where.add_argument("--out", metavar="DIR", help="run folder (default: runs/<date>-<dataset>-<attention>-s<seed>)")
    where.add_argument("--resume", metavar="DIR", help=f"continue the run in DIR; {ONLY}")
    where.add_argument("--mirror", metavar="DIR", help="copy each epoch to DIR, and restore what is missing")
    where.add_argument("--distributed", action="store_true", help="join the other processes of a multi-host job")
    add_code_flags(where)
    where.add_argument("--no-report", action="store_true", help="write no report.html at the end")
    where.add_argument("--tensorboard", action="store_true", help="write tensorboard/, too; needs tensorboardX")
    where.add_argument("--gate-history", action="store_true", help="keep the vital signs of the gates after each epoch")
    add_cache_flag(where)
    add_config_flags(parser, DATASETS)
    return parser


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: if the command line or what it names cannot be used.
    """
    values = vars(parser().parse_args(arguments))
    limit_cache(values.pop("cache_limit"))
    out, folder, mirror = (values.pop(name) for name in ("out", "resume", "mirror"))
    distributed, no_report = values.pop("distributed"), values.pop("no_report")
    tensorboard, gate_history = values.pop("tensorboard"), values.pop("gate_history")
    trust_code, accept_changed_code = (values.pop(name) for name in CODE_FLAGS)
    if folder is not None and (out is not None or values.keys() - WITH_RESUME):
        raise InputError(f"--resume takes its flags from the run; {ONLY}")
    config = None if folder is not None else Config(**values)
    if config is not None:
        check_effect(config, values)
    Console().note("loading JAX and the data, and compiling the step")
    if config is not None:
        start_reading(config.dataset, config.data_dir)
    from jaxattn.training.processes import connected, is_first

    with connected(distributed):
        from jaxattn.observers import asked_for
        from jaxattn.runs.fit import fit, resume

        observers = asked_for(tensorboard, gate_history, mirror)
        options: dict[str, Any] = {"observers": observers, "accept_changed_code": accept_changed_code}
        try:
            if config is None:
                run = resume(folder, trust_code=trust_code, **options, **values)
            else:
                run = fit(config, out, **options)
        except Interrupted as stopped:  # what observes a run is not recorded in it
            chosen = {"--tensorboard": tensorboard, "--gate-history": gate_history, "--mirror": mirror}
            words = ([name] if value is True else [name, value] for name, value in chosen.items() if value)
            stopped.options = tuple(word for one in words for word in one)
            raise
        if not no_report and is_first():
            _report(run, mirror)


def _report(run: Any, mirror: str | None) -> None:
    """Writes the report, or says in one line why not: the run is complete whatever happens here."""
    console = Console()
    try:
        from jaxattn.report.page import write_report

        console.line(f"report: {write_report([run])}")
    except Exception as error:
        console.line(
            f"warning: no report: {first_line(error)}; try again with: jaxattn report {quoted(str(run.folder))}"
        )
        return
    if mirror is not None:
        from jaxattn.observers.mirror import copy_report

        copy_report(run, mirror, console)


if __name__ == "__main__":
    run_command(main)
