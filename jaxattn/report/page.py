"""Writes the report: one HTML file that needs no other file and no network."""

import importlib.resources
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxattn import __version__
from jaxattn.data.splits import Split
from jaxattn.errors import InputError
from jaxattn.explain.analysis import FEW, Analysis, History
from jaxattn.explain.explanation import Explanation
from jaxattn.explain.groups import class_names
from jaxattn.paths import local_path
from jaxattn.report import classes, explorer, reproduce, sections
from jaxattn.runs.data import read_test
from jaxattn.runs.manifest import read_manifest
from jaxattn.runs.run import Run
from jaxattn.runs.store import write_text
from jaxattn.templates import pages

SCORED = 32  # test images whose maps are scored: half as many as in `visualize`, since every run ends with a report
MAX_BYTES = 5_000_000
MAX_CHARACTERS = 24  # characters of a class name under a small image
FILES = {"css": "report.css", "js": "report.js", "table": "table.js", "links": "links.js"}


def write_report(
    runs: Sequence[Run], out: str | Path | None = None, data_dir: str | None = None, *, trust_code: bool = False
) -> Path:
    """Writes a report atomically.

    Args:
        runs: trained on the same images.
        out: the file; by default `report.html` in the run folder; for several runs, `report-of-N.html` in that of
            the first.
        data_dir: where the data is, if it has moved since training.
        trust_code: whether the module of your own data set may be imported, which runs its code. Not needed for one
            that this process has imported already.

    Returns:
        The file.

    Raises:
        InputError: if the data is not available or differs between runs, its code is not trusted, or the file cannot be
            written.
    """
    if len({read_manifest(run.folder).dataset_hash for run in runs}) > 1:
        raise InputError("runs side by side must be of the same images, these are not; report on each by itself")
    name = "report.html" if len(runs) == 1 else f"report-of-{len(runs)}.html"
    path = local_path(out, "out") if out is not None else runs[0].folder / name
    if path.is_dir():
        raise InputError(f"{path} is a folder; choose a file", "out")
    html = render(list(runs), read_test(runs[0].folder, data_dir, trust_code))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, html)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another file", "out") from error
    return path


def render(runs: list[Run], test: Split) -> str:
    """The page.

    Args:
        runs: trained on the same images.
        test: their test set.
    """
    names = sections.run_names(runs)
    analyses = [Analysis(run, test, scored=SCORED) for run in runs]
    plateaus = [History(run).plateaus for run in runs]
    tested = [analysis.tested for analysis in analyses]
    page = {
        "runs": [_view(*parts) for parts in zip(names, runs, analyses, strict=True)],
        "classes": runs[0].classes,
        "short": class_names(runs[0].classes, MAX_CHARACTERS),
        "data": runs[0].spec.name,
        "frequencies": classes.images_by_class(runs, tested[0]),
        "curves": sections.curves(names, runs, plateaus),
        "plateaus": any(plateaus),
        "calibration": sections.calibration(names, tested),
        "version": __version__,
    }
    rows = explorer.selected(tested)
    explained = [Explanation(run, analysis.some(rows)) for run, analysis in zip(runs, analyses, strict=True)]
    contents = explorer.contents(names, explained, rows, [analysis.gate_profiles for analysis in analyses])
    html = _page(explorer=contents, **page)
    while len(html) > MAX_BYTES and len(contents["images"]) > 1:
        contents = explorer.fewer(contents)
        html = _page(explorer=contents, **page)
    return html


def _view(name: str, run: Run, analysis: Analysis) -> dict[str, Any]:
    return {
        "name": name,
        "config": run.config,
        "folder": str(run.folder),
        "notes": run.notes,
        "result": sections.result(run, analysis.tested),
        "confusion": classes.matrix(analysis.tested),
        "classes": classes.table(run, analysis.tested),
        "gates_by_class": classes.gates(analysis),
        "signs": classes.signs(analysis),
        "few": min(FEW, len(analysis.test_labels)),
        "mistakes": sections.mistakes(analysis.tested),
        "faithfulness": sections.faithfulness(analysis),
        "flags": reproduce.configuration(run.config, run.acts_on),
        "command": reproduce.command(run.config),
        "formula": sections.formula(run.config.attention),
    }


def _page(**values):
    folder = importlib.resources.files("jaxattn.report") / "templates"
    parts = {kind: (folder / name).read_text("utf-8") for kind, name in FILES.items()}
    return pages("jaxattn.report").get_template("report.html").render(**parts, **values)
