"""Tests trained networks on other images: corrupted ones, CIFAR-10-C and 10.1, subsets of the test images.

jaxattn robustness RUN... | DIR
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from jaxattn import runtime
from jaxattn.cli.columns import columns
from jaxattn.cli.command import run_command
from jaxattn.cli.parser import Parser, complete_from
from jaxattn.cli.runs import add_cache_flag, add_code_flags, limit_cache
from jaxattn.errors import InputError, lookup
from jaxattn.paths import local_path
from jaxattn.robustness.corruptions import CORRUPTIONS

if TYPE_CHECKING:
    from jaxattn.comparison.robustness import Robustness

FILES = ("cifar10_c", "cifar10_1", "duplicates", "label_errors", "people")


def parser() -> Parser:
    """The command line of `jaxattn robustness`."""
    parser = Parser(
        prog="jaxattn robustness",
        description="Test trained networks on other images; nothing is trained. For a comparison (DIR), its page gets "
        "a section, which the next call replaces. Measurements are kept in the run folders: a second call is quick.",
    )
    parser.add_argument("folders", metavar="RUN | DIR", nargs="+", help="run folders, or the folder of a comparison")
    parser.add_argument("--out", metavar="DIR", help="folder for the results (default: that of the comparison)")
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the data set (default: as in training)")
    corruptions = parser.add_argument(
        "--corruptions",
        metavar="NAME",
        nargs="*",
        default=list(CORRUPTIONS),
        help=f"corruptions of the test images that are made here, none where none is named (default: all, "
        f"{', '.join(CORRUPTIONS)})",
    )
    complete_from(corruptions, CORRUPTIONS)
    parser.add_argument(
        "--images", metavar="N", type=int, help="take N of the test images, a sample that has all classes in proportion"
    )
    others = parser.add_argument_group("for networks trained on cifar10")
    others.add_argument("--cifar10-c", metavar="DIR", help="CIFAR-10-C: files CORRUPTION.npy, and labels.npy")
    others.add_argument(
        "--cifar10-1", metavar="DIR", help="CIFAR-10.1: cifar10.1_v6_data.npy and _labels.npy, or the v4 files"
    )
    others.add_argument(
        "--duplicates",
        metavar="FILE",
        help="leave out images with near-duplicates in training: ciFAIR's CSV file",
    )
    others.add_argument(
        "--label-errors",
        metavar="FILE",
        help="leave out images with suspected label errors: a CSV file with test_index, label",
    )
    others.add_argument("--people", metavar="FILE", help="compare with people's labels: CIFAR-10H's counts (.npy)")
    add_code_flags(parser)
    add_cache_flag(parser)
    return parser


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: if the command line or what it names cannot be used.
    """
    flags = parser().parse_args(arguments)
    folders = [local_path(folder) for folder in flags.folders]
    comparison = next((folder for folder in folders if (folder / "compare.json").exists()), None)
    if comparison and len(folders) > 1:
        raise InputError(f"{comparison} is the folder of a comparison; name it alone, or run folders")
    out = local_path(flags.out, "out") if flags.out else comparison
    if out is not None and comparison is not None and out.resolve() == comparison.resolve():
        out = comparison
    if out is not None and out != comparison and (out / "compare.json").exists():
        raise InputError(f"{out} holds a comparison, whose results these would replace; choose another folder", "out")
    if out is None:
        raise InputError("--out must name a folder for the results, or DIR be the folder of a comparison")
    for name in flags.corruptions:
        lookup("corruption", name, CORRUPTIONS)
    limit_cache(flags.cache_limit)
    runtime.tune()
    from jaxattn.comparison import compare, robustness_file

    result = _measured(comparison, folders, flags)
    robustness_file.write(out, result)
    print(columns(result.table(), range(1, len(result.table()[0]))))
    print("\n".join([result.rule, *(f"note: {note}" for note in result.notes)]))
    if comparison and out == comparison:
        code = {"trust_code": flags.trust_code, "accept_changed_code": flags.accept_changed_code}
        print(f"page: {compare.show(comparison, flags.data_dir, **code).page}")
    else:
        print(f"figure: {_draw(result, out)}")


def _measured(comparison: Path | None, folders: list[Path], flags: argparse.Namespace) -> "Robustness":
    """The metrics of the runs on the views that the flags name."""
    from jaxattn.comparison import other_images, predictions, results, robustness
    from jaxattn.comparison.plan_file import check_planned, read_plan
    from jaxattn.robustness.views import find
    from jaxattn.runs.console import Console
    from jaxattn.runs.data import read_test

    if comparison:
        plan = read_plan(comparison)
        check_planned(comparison, plan)
        runs = results.of_plan(comparison, plan)
    else:
        runs = results.of_folders(folders)
    every = [run for by_seed in runs.values() for run in by_seed.values()]
    if not every:
        raise InputError(f"{comparison} holds no finished run; run the command that made it first")
    notes = results.notes(runs, flags.trust_code, flags.accept_changed_code)
    test = read_test(every[0].folder, flags.data_dir, flags.trust_code)
    files = {name: getattr(flags, name) for name in FILES}
    views = find(every[0].manifest.data.name, test, flags.corruptions, flags.images, files)
    result = other_images.measure(runs, views, Console().line)
    basis = {name: {seed: predictions.basis(run) for seed, run in by_seed.items()} for name, by_seed in runs.items()}
    return robustness.Robustness(tuple(robustness.ViewInfo(*view[:3]) for view in views), result, basis, notes)


def _draw(result: "Robustness", out: Path) -> Path:
    from jaxattn.comparison import figures
    from jaxattn.plots import canvas

    caption = f"{result.count} runs, {', '.join(result.measured)}"
    return canvas.write(figures.robustness(result.accuracies, caption), out / "robustness.png")


if __name__ == "__main__":
    run_command(main)
