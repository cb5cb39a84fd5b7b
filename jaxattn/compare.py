"""Trains variants of the attention with the same seeds, and says whether they help.

python -m jaxattn.compare --attention none se --seeds 8 --out DIR
"""

from typing import Any

from jaxattn import runtime
from jaxattn.cli.command import run_command
from jaxattn.cli.parser import Parser, add_config_flags
from jaxattn.cli.runs import CODE_FLAGS, add_cache_flag, add_code_flags, limit_cache
from jaxattn.comparison import MARGIN
from jaxattn.data import DATASETS
from jaxattn.errors import InputError
from jaxattn.runs.console import Console

SEEDS = 8
EXECUTORS = ("here", "local", "slurm")
OWN = (  # not of the training
    "dir", "attention", "baseline", "seeds", "margin", "out", "executor", "mirror", "retry_failed", "runs", "csv"
)  # fmt: skip


def parser() -> Parser:
    """The command line of `python -m jaxattn.compare`."""
    parser = Parser(
        prog="python -m jaxattn.compare",
        description="Train variants of the attention with the same seeds, judge them by statistics that were fixed "
        "before, and write one page. The same command resumes after a stop. With DIR alone: print and draw what there "
        "is.",
    )
    parser.add_argument("dir", metavar="DIR", nargs="?", help="folder of a comparison, to print and draw what there is")
    what = parser.add_argument_group("what to compare")
    what.add_argument("--attention", metavar="NAME", nargs="+", help="variants; the first is the baseline")
    what.add_argument("--baseline", metavar="NAME", help="the variant that the others are compared with")
    what.add_argument(
        "--seeds",
        metavar="N,...",
        help="how many seeds of each: 0, 1, ...; of several numbers, the variants are judged at each, and more are "
        f"trained only where something is left to tell (default: {SEEDS})",
    )
    what.add_argument(
        "--margin", metavar="X", type=float, help=f"points; a smaller difference counts as none (default: {MARGIN})"
    )
    what.add_argument("--out", metavar="DIR", help="folder of the comparison; each run gets a folder in it")
    what.add_argument(
        "--executor",
        metavar="NAME",
        default="here",
        help=f"where runs are trained: {', '.join(EXECUTORS)} (the last two: a job a run, by submitit, "
        "which needs the extra cluster; local: processes on this machine's CPU)",
    )
    what.add_argument("--mirror", metavar="DIR", help="copy each run to DIR, and restore what is missing")
    what.add_argument("--retry-failed", action="store_true", help="train runs that failed again (default: leave them)")
    made_by_others = parser.add_argument_group("what is there already")
    made_by_others.add_argument("--runs", metavar="RUN", nargs="+", help="run folders to compare, instead of training")
    made_by_others.add_argument("--csv", metavar="FILE", help="results of any program: columns variant, seed, accuracy")
    add_code_flags(parser)
    add_cache_flag(parser)
    add_config_flags(parser, DATASETS, without=("attention", "seed"))
    return parser


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: where the command line or what it names cannot be used.
    """
    values = vars(parser().parse_args(arguments))
    limit_cache(values.pop("cache_limit"))
    own = {name: values.pop(name) for name in OWN}
    code = {name: values.pop(name) for name in CODE_FLAGS}
    own["seeds"] = None if own["seeds"] is None else _seeds(own["seeds"])
    _check(own, values)
    console = Console()
    if own["attention"] is not None:
        console.note("loading JAX and the data")
    runtime.tune()
    from jaxattn.comparison import compare, csv_file

    margin = MARGIN if own["margin"] is None else own["margin"]
    if own["csv"] is not None:
        seeds = own["seeds"] or (None,)
        result = csv_file.of_csv(own["csv"], seeds[-1], own["baseline"], margin)
    elif own["runs"] is not None:
        result = compare.of_runs(own["runs"], own["out"], **values, **code)
    elif own["dir"] is not None:
        result = compare.show(own["dir"], **values, **code)
    else:
        seeds = own["seeds"] or (SEEDS,)
        how = {name: own[name] for name in ("executor", "mirror", "retry_failed", "baseline")}
        how["accept_changed_code"] = code["accept_changed_code"]
        result = compare.compare(own["attention"], seeds, own["out"], console, margin=margin, **how, **values)
    console.line(str(result))


def _seeds(text: str) -> tuple[int, ...]:
    """Numbers of seeds, such as "8" or "6,9,12".

    Raises:
        InputError: where they are not whole numbers above 0 that grow.
    """
    try:
        looks = tuple(int(part) for part in text.split(","))
    except ValueError:
        looks = ()
    if not looks or looks[0] < 1 or list(looks) != sorted(set(looks)):
        raise InputError(f"--seeds must be at least 1, or several numbers that grow, such as 6,9,12; got {text}")
    return looks


def _check(own: dict[str, Any], flags: dict[str, Any]) -> None:
    ways = [name for name in ("dir", "attention", "runs", "csv") if own[name] is not None]
    if len(ways) != 1:
        raise InputError("name one of: --attention with --out, --runs with --out, --csv, or the folder of a comparison")
    (way,) = ways
    judged = any(own[name] is not None for name in ("seeds", "margin", "baseline")) and way != "csv"
    own_flags = own["mirror"] is not None or own["retry_failed"] or judged
    if way != "attention" and (flags.keys() - {"data_dir"} or own_flags):
        raise InputError("flags of training go with --attention; runs that are there already keep their own")
    if way in ("attention", "runs") and own["out"] is None:
        raise InputError("--out must name the folder of the comparison")
    if own["executor"] not in EXECUTORS:
        raise InputError(f"unknown executor {own['executor']!r}; known are {', '.join(EXECUTORS)}")
    if way == "csv" and len(own["seeds"] or ()) > 1:
        raise InputError("--seeds must be one number with --csv: how many were planned")


if __name__ == "__main__":
    run_command(main)
