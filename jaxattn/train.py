"""Trains the CNN, with or without channel attention, and writes a run folder.

python -m jaxattn.train --attention
"""

from jaxattn.cli import Parser, add_config_flags, shell, tune_process
from jaxattn.config import Config
from jaxattn.errors import InputError


def parser() -> Parser:
    """The command line of `python -m jaxattn.train`."""
    from jaxattn.attention import ATTENTION
    from jaxattn.data import DATASETS
    from jaxattn.data.augment import AUGMENT
    from jaxattn.optim import SCHEDULES

    made = Parser(
        prog="python -m jaxattn.train",
        description="Train the three-block CNN on CIFAR-10, with or without attention, and write a run folder.",
    )
    where = made.add_argument_group("where")
    where.add_argument("--out", metavar="DIR", help="run folder (default: runs/<date>-<dataset>-<attention>-s<seed>)")
    where.add_argument(
        "--resume", metavar="DIR", help="go on with the run in DIR; only --epochs and --data-dir go with it"
    )
    where.add_argument(
        "--distributed", action="store_true", help="be one of several processes, as JAX's environment says"
    )
    add_config_flags(made, {"attention": ATTENTION, "dataset": DATASETS, "augment": AUGMENT, "schedule": SCHEDULES})
    return made


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: where the command line or what it names cannot be used.
    """
    values = vars(parser().parse_args(arguments))
    out, folder = values.pop("out"), values.pop("resume")
    distributed = values.pop("distributed")
    if folder is not None and (out is not None or values.keys() - {"epochs", "data_dir"}):
        raise InputError("--resume takes its flags from the run; only --epochs and --data-dir may be given with it")
    config = None if folder is not None else Config(**values)
    tune_process()
    if distributed:
        from jaxattn import devices

        devices.connect()
    from jaxattn.run import fit, resume

    if folder is not None:
        resume(folder, **values)
    else:
        fit(config, out)


if __name__ == "__main__":
    shell(main)
