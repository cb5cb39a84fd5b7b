"""The results of a comparison as files for other programs and papers: a long CSV file, and the table."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxattn.comparison.results import Runs
from jaxattn.comparison.table import Comparison, Scores
from jaxattn.errors import InputError
from jaxattn.runs.store import write_text

HEADER = ("variant", "seed", "split", "metric", "value")
OF_TEST = ("accuracy", "loss", "balanced_accuracy", "calibration_error", "superclass_accuracy")
_LATEX = str.maketrans(
    {one: f"\\{one}" for one in "_%&#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)
_MARKDOWN = str.maketrans({one: f"\\{one}" for one in "\\`*_[]<>|"})


def write_files(folder: Path, table: Comparison, accuracies: Mapping[str, Scores], runs: Runs | None = None) -> None:
    """Writes `results.csv`, `table.md` and `table.tex`.

    Args:
        folder: an existing folder to write to.
        table: the result of `verdict.judge`.
        accuracies: fractions by variant and seed.
        runs: the runs, if they are available; `results.csv` then has their other metrics, too.

    Raises:
        InputError: if they cannot be written.
    """
    rows = _of_runs(runs) if runs else _of_accuracies(accuracies)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
    try:
        write_text(folder / "results.csv", text.getvalue())
        write_text(folder / "table.md", markdown(table))
        write_text(folder / "table.tex", latex(table))
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; choose another folder", "out") from error


def _of_accuracies(accuracies) -> Iterator[tuple[Any, ...]]:
    for variant, by_seed in accuracies.items():
        for seed, value in by_seed.items():
            yield variant, seed, "test", "accuracy", value


def _of_runs(runs) -> Iterator[tuple[Any, ...]]:
    for variant, by_seed in runs.items():
        for seed, run in by_seed.items():
            for metric in OF_TEST:
                if f"test_{metric}" in run.result:
                    yield variant, seed, "test", metric, run.result[f"test_{metric}"]
            tested = run.metrics[run.result["tested_epoch"] - 1]
            for metric in ("accuracy", "loss"):
                if f"val_{metric}" in tested:
                    yield variant, seed, run.config.monitored, metric, tested[f"val_{metric}"]


def _cells(table: Comparison, escapes: dict[int, str], plus_minus: str) -> Iterator[list[str]]:
    for one, difference, verdict in table.rows:
        mean = "–" if one.mean is None else f"{100 * one.mean:.2f}"
        mean += "" if one.sd is None else f" {plus_minus} {100 * one.sd:.2f}"
        if difference is None or difference.interval is None or verdict is None:
            yield [one.name.translate(escapes), str(one.n), mean, "–", "–"]
        else:
            low, high = difference.interval
            seeds = "" if difference.n == one.n else f", {difference.n} seeds"
            less = f"{difference.mean:+.2f} ({low:+.2f} to {high:+.2f}){seeds}"
            yield [one.name.translate(escapes), str(one.n), mean, less, verdict.kind]


def _header(table: Comparison, accuracy: str, escapes: dict[int, str]) -> list[str]:
    return ["variant", "seeds", accuracy, f"difference from {table.baseline.translate(escapes)}, points", "verdict"]


def markdown(table: Comparison) -> str:
    """The table for a page in Markdown; accuracies are percent, differences points."""
    header = _header(table, "accuracy, % (mean ± sd)", _MARKDOWN)
    rows = [header, ["---", "---:", "---:", "---:", "---"], *_cells(table, _MARKDOWN, "±")]
    sentences = [
        f"* {f'{row.variant.name} {row.verdict.text}'.translate(_MARKDOWN)}" for row in table.rows if row.verdict
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *sentences, ""])


def latex(table: Comparison) -> str:
    """The table for a paper, for the package booktabs; the verdicts are comments."""
    header = _header(table, r"accuracy, \%", _LATEX)
    rows = [["--" if cell == "–" else cell for cell in row] for row in _cells(table, _LATEX, r"$\pm$")]
    # after \\, a bracket or a star would be read as its argument
    lines = ["{}" * row[0].startswith(("[", "*")) + " & ".join(row) + r" \\" for row in (header, *rows)]
    comments = [f"% {row.variant.name} {row.verdict.text}" for row in table.rows if row.verdict]
    begin, end = r"\begin{tabular}{lrrrl}", r"\end{tabular}"
    return "\n".join([*comments, begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", end, ""])
