"""The flags of `jaxattn compare`."""

from typing import Any

from jaxattn.cli.parser import Parser, add_config_flags, attention, complete_from
from jaxattn.cli.runs import add_cache_flag, add_code_flags
from jaxattn.comparison import MARGIN
from jaxattn.data import DATASETS
from jaxattn.errors import InputError

SEEDS = 8
TAKES = {  # the flags that each kind of existing results accepts
    "dir": {"data_dir", "trust_code", "accept_changed_code"},
    "runs": {"data_dir", "trust_code", "accept_changed_code", "out"},
    "csv": {"out", "baseline", "seeds", "margin"},
}
LISTS = ("network", "dataset")  # flags that take several values
EXECUTORS = ("here", "local", "slurm")
OWN = (  # flags that are handled here, and not passed on as settings of training
    "dir", "attention", "variants", "vary", "tune", "baseline", "seeds", "margin", "out", "executor", "mirror",
    "retry_failed", "runs", "csv", *LISTS,
)  # fmt: skip


def parser() -> Parser:
    """The command line of `jaxattn compare`."""
    parser = Parser(
        prog="jaxattn compare",
        description="Train variants of the attention with the same seeds, judge them by a rule that was fixed "
        "in advance, and write one page. The same command resumes after a stop. With DIR alone: print and draw the "
        "existing results.",
    )
    parser.add_argument("dir", metavar="DIR", nargs="?", help="folder of a comparison, to print and draw its results")
    _add_what(parser)
    _add_how(parser)
    existing = parser.add_argument_group("existing results")
    existing.add_argument("--runs", metavar="RUN", nargs="+", help="run folders to compare, instead of training")
    existing.add_argument(
        "--csv",
        metavar="FILE",
        help="results of any program: columns variant, seed, accuracy (fractions, or percent); with --out, a page, too",
    )
    add_code_flags(parser)
    add_cache_flag(parser)
    add_config_flags(parser, DATASETS, without=("attention", "seed", *LISTS))
    return parser


def _add_what(parser: Parser) -> None:
    what = parser.add_argument_group("what to compare")
    variants = what.add_argument(
        "--attention",
        metavar="NAME",
        nargs="+",
        help="variants, such as none, se@3 (at site 3), se:reduction=4,position=pre (any setting of training); the "
        "first is the baseline",
    )
    complete_from(variants, attention)
    what.add_argument("--variants", metavar="FILE", help='the same from a TOML file: variants = ["none", "se@3"]')
    what.add_argument(
        "--vary",
        metavar="SETTING=X,...",
        action="append",
        help="train each variant with each of these values, such as learning_rate=.06,.12; may be given again",
    )
    what.add_argument(
        "--tune",
        metavar="SETTING=X,...",
        action="append",
        help="choose one of these values for each variant on held-out images, with a separate seed, and compare the "
        "variants with and without; may be given again",
    )
    for name, known in (("network", "`jaxattn networks` lists them"), ("dataset", ", ".join(DATASETS))):
        what.add_argument(
            f"--{name}",
            metavar="NAME",
            nargs="+",
            help=f"{name}: {known}; for several, one comparison each, and whether the verdict transfers",
        )
    what.add_argument("--baseline", metavar="NAME", help="the variant that the others are compared with")
    what.add_argument(
        "--seeds",
        metavar="N,...",
        help="how many seeds of each: 0, 1, ...; of several numbers, the variants are judged at each, and more are "
        f"trained only while some verdict is open (default: {SEEDS})",
    )
    what.add_argument(
        "--margin", metavar="X", type=float, help=f"points; a smaller difference counts as none (default: {MARGIN})"
    )


def _add_how(parser: Parser) -> None:
    how = parser.add_argument_group("how it is trained")
    how.add_argument("--out", metavar="DIR", help="folder of the comparison; each run gets a folder in it")
    how.add_argument(
        "--executor",
        metavar="NAME",
        help=f"where runs are trained: {', '.join(EXECUTORS)} (default: here; the last two: one job per run, by "
        "submitit, which needs the extra cluster; local: processes on this machine's CPU)",
    )
    how.add_argument("--mirror", metavar="DIR", help="copy each run to DIR, and restore what is missing")
    how.add_argument("--retry-failed", action="store_true", help="train failed runs again (default: leave them)")


def parse_seeds(text: str) -> tuple[int, ...]:
    """Numbers of seeds, such as "8" or "6,9,12".

    Raises:
        InputError: if they are not ascending whole numbers above 0.
    """
    try:
        looks = tuple(int(part) for part in text.split(","))
    except ValueError:
        looks = ()
    if not looks or looks[0] < 1 or list(looks) != sorted(set(looks)):
        raise InputError(f"--seeds must be at least 1, or several ascending numbers, such as 6,9,12; got {text}")
    return looks


def check(own: dict[str, Any], flags: dict[str, Any], code: dict[str, bool]) -> None:
    """Checks that the flags are compatible.

    Args:
        own: the flags in `OWN`.
        flags: the given settings of training.
        code: the flags of `add_code_flags`.

    Raises:
        InputError: if they are not, or one would be ignored.
    """
    given = {name for name, value in {**own, **flags, **code}.items() if value is not None and value is not False}
    ways = {"attention" if name == "variants" else name for name in given & {*TAKES, "attention", "variants"}}
    if len(ways) != 1:
        raise InputError("name one of: --attention with --out, --runs with --out, --csv, or the folder of a comparison")
    (way,) = ways
    if way in TAKES and (ignored := sorted(given - TAKES[way] - {way})):
        what = "a folder alone" if way == "dir" else f"--{way}"
        raise InputError(f"--{ignored[0].replace('_', '-')} does nothing with {what}; leave it out")
    if own["out"] == "" or own["csv"] == "":
        raise InputError("--out and --csv must name a folder and a file")
    if own["tune"] and (any(len(own[name] or ()) > 1 for name in LISTS) or own["executor"] not in (None, "here")):
        raise InputError("--tune takes one network and one data set, and trains here")
    if way in ("attention", "runs") and own["out"] is None:
        raise InputError("--out must name the folder of the comparison")
    if own["executor"] not in (None, *EXECUTORS):
        raise InputError(f"unknown executor {own['executor']!r}; known are {', '.join(EXECUTORS)}")
    if way == "csv" and own["seeds"] is not None and (len(own["seeds"]) > 1 or own["seeds"][0] < 2):
        raise InputError("--seeds must be one number above 1 with --csv: how many were planned")
