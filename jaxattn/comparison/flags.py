"""The flags of `python -m jaxattn.compare`."""

from typing import Any

from jaxattn.cli.parser import Parser, add_config_flags
from jaxattn.cli.runs import add_cache_flag, add_code_flags
from jaxattn.comparison import MARGIN
from jaxattn.data import DATASETS
from jaxattn.errors import InputError

SEEDS = 8
WAYS = ("dir", "attention", "runs", "csv")
EXECUTORS = ("here", "local", "slurm")
OWN = (  # not of the training
    "dir", "attention", "variants", "vary", "baseline", "seeds", "margin", "out", "executor", "mirror", "retry_failed",
    "runs", "csv",
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
    _add_what(parser)
    made_by_others = parser.add_argument_group("what is there already")
    made_by_others.add_argument("--runs", metavar="RUN", nargs="+", help="run folders to compare, instead of training")
    made_by_others.add_argument("--csv", metavar="FILE", help="results of any program: columns variant, seed, accuracy")
    add_code_flags(parser)
    add_cache_flag(parser)
    add_config_flags(parser, DATASETS, without=("attention", "seed"))
    return parser


def _add_what(parser: Parser) -> None:
    what = parser.add_argument_group("what to compare")
    what.add_argument(
        "--attention",
        metavar="NAME",
        nargs="+",
        help="variants, such as none, se@3 (a place), se:reduction=4,position=pre (any setting of training); the first "
        "is the baseline",
    )
    what.add_argument("--variants", metavar="FILE", help='the same from a TOML file: variants = ["none", "se@3"]')
    what.add_argument(
        "--vary",
        metavar="SETTING=X,...",
        action="append",
        help="train each variant with each of these values, such as learning_rate=.06,.12; may be given again",
    )
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


def parse_seeds(text: str) -> tuple[int, ...]:
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


def check(own: dict[str, Any], flags: dict[str, Any]) -> None:
    """Checks that the flags go together; `own` are those in `OWN`, `flags` the others that were given.

    Raises:
        InputError: where they do not.
    """
    of_variants = own["attention"] or own["variants"]
    ways = [name for name, value in {**own, "attention": of_variants}.items() if name in WAYS and value is not None]
    if len(ways) != 1:
        raise InputError("name one of: --attention with --out, --runs with --out, --csv, or the folder of a comparison")
    (way,) = ways
    judged = any(own[name] is not None for name in ("seeds", "margin", "baseline")) and way != "csv"
    own_flags = own["mirror"] is not None or own["retry_failed"] or own["vary"] or judged
    if way != "attention" and (flags.keys() - {"data_dir"} or own_flags):
        raise InputError("flags of training go with --attention; runs that are there already keep their own")
    if way in ("attention", "runs") and own["out"] is None:
        raise InputError("--out must name the folder of the comparison")
    if own["executor"] not in EXECUTORS:
        raise InputError(f"unknown executor {own['executor']!r}; known are {', '.join(EXECUTORS)}")
    if way == "csv" and len(own["seeds"] or ()) > 1:
        raise InputError("--seeds must be one number with --csv: how many were planned")
