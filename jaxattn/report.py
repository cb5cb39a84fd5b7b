"""Writes what a run was, how it went and what its network sees into one HTML file that needs nothing else.

python -m jaxattn.report RUN [RUN...]
"""

import functools
import importlib.resources
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxattn.cli import Parser, shell, tune_process
from jaxattn.errors import InputError

if TYPE_CHECKING:
    from jaxattn.run import Run

MOST = 6  # runs side by side
SCORED = 32  # test pictures whose maps are scored: half of what `visualize` takes, for the report ends every run
LARGEST = 5_000_000  # bytes


def parser() -> Parser:
    """The command line of `python -m jaxattn.report`."""
    made = Parser(
        prog="python -m jaxattn.report",
        description="Write a run, or several side by side, into one HTML file: result, curves, mistakes, what the "
        "network sees, and how to make it again.",
    )
    made.add_argument("runs", metavar="RUN", nargs="+", help=f"folder of a run; up to {MOST}, of the same data")
    where = "RUN/report.html; of several, report-of-N.html in the first run's folder"
    made.add_argument("--out", metavar="FILE", help=f"the file to write (default: {where})")
    made.add_argument("--weights", metavar="WHICH", default="tested", help="best, last or tested (default: tested)")
    made.add_argument("--data-dir", metavar="DIR", help="folder that holds the data set (default: as it was trained)")
    return made


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: where the command line or what it names cannot be used.
    """
    flags = parser().parse_args(arguments)
    if len(flags.runs) > MOST:
        raise InputError(f"a report holds up to {MOST} runs, got {len(flags.runs)}; name fewer")
    tune_process()
    from jaxattn.run import load_run

    runs = [load_run(folder, flags.weights) for folder in flags.runs]
    print(write_report(runs, flags.out, flags.data_dir))


def write_report(runs: Sequence["Run"], out: str | Path | None = None, data_dir: str | None = None) -> Path:
    """Writes a report, whole or not at all.

    Args:
        runs: up to `MOST`, trained on the same pictures.
        out: the file; by default `report.html` in the folder of the one run, `report-of-N.html` in that of the
            first of several.
        data_dir: where the data lies, if not where it lay in training.

    Returns:
        The file.

    Raises:
        InputError: where the data cannot be had or differs between runs, or the file cannot be written.
    """
    from jaxattn.folder import read_header, write_text
    from jaxattn.pictures import read_test

    if len({read_header(run.folder).dataset_hash for run in runs}) > 1:
        raise InputError("runs side by side must be of the same pictures, these are not; report on each by itself")
    name = "report.html" if len(runs) == 1 else f"report-of-{len(runs)}.html"
    path = Path(out) if out is not None else runs[0].folder / name
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file with --out")
    html = render(list(runs), read_test(runs[0], data_dir))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, html)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; name another file with --out") from error
    return path


def render(runs: list["Run"], test: Any) -> str:
    """The page.

    Args:
        runs: trained on the same pictures.
        test: their test set, a `data.splits.Split`.
    """
    from jaxattn import __version__, exhibits, explorer
    from jaxattn.pictures import Look, Study

    names = exhibits.run_names(runs)
    studies = [Study(run, test, scored=SCORED) for run in runs]
    tested = [study.tested for study in studies]
    where = explorer.places(tested)
    part = test.take(where)
    views = [
        {
            "name": name,
            "config": run.config,
            "folder": str(run.folder),
            "result": exhibits.result(run, study.tested),
            "confusion": exhibits.confusion(study.tested),
            "atlas": exhibits.atlas(study),
            "answers": exhibits.answers(study.tested),
            "scores": exhibits.score_rows(study),
            "flags": exhibits.configuration(run.config),
            "command": exhibits.command(run.config),
            "formula": exhibits.formula(run.config.attention),
        }
        for name, run, study in zip(names, runs, studies, strict=True)
    ]
    page = {
        "runs": views,
        "classes": runs[0].classes,
        "curves": exhibits.curves(names, runs, [study.plateaus for study in studies]),
        "plateaus": any(study.plateaus for study in studies),
        "calibration": exhibits.calibration(names, tested),
        "version": __version__,
    }
    looks = [Look(run, part.images, part.labels, part.masks) for run in runs]
    profiles = [study.gate_profiles for study in studies]
    found = explorer.contents(names, looks, where, profiles)
    html = _page(explorer=found, **page)
    while len(html) > LARGEST and len(found["pictures"]) > 1:
        found = explorer.fewer(found)
        html = _page(explorer=found, **page)
    return html


def _page(**values):
    folder = importlib.resources.files("jaxattn") / "templates"
    parts = {kind: (folder / f"report.{kind}").read_text("utf-8") for kind in ("css", "js")}
    return _template().render(**parts, **values)


@functools.cache
def _template():
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("jaxattn", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value, digits=0: f"{100 * value:.{digits}f}%"
    environment.filters["duration"] = _duration
    return environment.get_template("report.html")


def _duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    shell(main)
