"""The page of a comparison, `compare.html`: one file that needs nothing else, and its figures as PNG and SVG."""

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxattn import __version__
from jaxattn.comparison import figures, robustness_file, sections, usage
from jaxattn.comparison.disagreement import disagreements, sentence
from jaxattn.comparison.estimates import MAX_LISTED, pairs
from jaxattn.comparison.outcomes import outcomes
from jaxattn.comparison.plan import Plan
from jaxattn.comparison.predictions import Predicted
from jaxattn.comparison.results import Failures, Runs, accuracies
from jaxattn.comparison.table import Comparison, Scores
from jaxattn.comparison.variants import file_names
from jaxattn.comparison.vital_signs import vital_signs
from jaxattn.data.splits import Split
from jaxattn.errors import InputError
from jaxattn.explain.analysis import Analysis
from jaxattn.explain.groups import MAX_ROWS
from jaxattn.plots import canvas, gates_by_class
from jaxattn.runs.run import load_run
from jaxattn.runs.store import write_text
from jaxattn.templates import pages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ON_PAGE = {  # colours of a figure: what they become on the page, which has a dark mode
    **dict.fromkeys((canvas.INK, canvas.FAINT, "#000000"), "currentColor"),
    canvas.GRID: "color-mix(in srgb, currentColor 15%, transparent)",
    "fill: #ffffff": "fill: none",
}
SECTIONS = {
    "differences": "Differences",
    "curves": "Learning curves",
    "costs": "Cost",
    "classes": "Classes",
    "images": "Images",
    "knockout": "Gate knock-out",
    "gates": "Gates",
    "robustness": "Other images",
    "reproduce": "What was run",
}


def write_page(  # noqa: PLR0913
    folder: Path, plan: Plan, runs: Runs, table: Comparison, test: Split, failures: Failures | None, *,
    predicted: Predicted, notes: Sequence[str] = (),
) -> Path:  # fmt: skip
    """Writes `compare.html` and the folder `figures`.

    Args:
        folder: the folder of the comparison.
        plan: what was to be trained.
        runs: finished runs, at least one.
        table: the result of `verdict.judge`.
        test: the test images.
        failures: why runs of the plan failed; None if `compare` did not train the runs, and so cannot extend the
            comparison.
        predicted: the predicted classes.
        notes: what readers must know about single runs, one sentence each.

    Returns:
        The page.

    Raises:
        InputError: if it cannot be written.
    """
    spec = next(run.manifest.data for by_seed in runs.values() for run in by_seed.values())
    configs = [plan.config] if failures is not None else [run.config for by in runs.values() for run in by.values()]
    values = _common(table, accuracies(runs), plan.margin) | _values(folder, plan, runs, table, predicted, test, spec)
    values["settings"] = sections.settings(configs, spec.name)
    values |= {"failed": sections.failed(failures or {}), "notes": notes, "extended": sections.extended(plan)}
    values["command"] = None if failures is None else sections.command(folder, plan)
    values["signs"] = usage.gates(vital_signs(runs, predicted, test), predicted, test)
    values["robustness"] = robustness_file.read(folder, runs)
    gates = _gates(runs, test)
    values["gates"] = list(gates)
    differing = disagreements(predicted, table.baseline, test.labels)
    values["images"] = {name: sentence(name, table.baseline, one) for name, one in differing.items()}
    drawn = _draw(plan, runs, table, values, spec.name) | {f"gates-{name}": figure for name, figure in gates.items()}
    for name, one in differing.items():
        drawn[f"images-{name}"] = figures.different_answers(
            name, table.baseline, one, test, spec.classes, f"{spec.name}, test images"
        )
    return _finish(folder, values, drawn)


def write_numbers_page(
    folder: Path, source: Path, table: Comparison, accuracies: Mapping[str, Scores], modules: bool
) -> Path:  # fmt: skip
    """Writes the same page for accuracies that other programs measured, without the sections that need runs.

    Args:
        folder: the folder to write to.
        source: the file that holds them.
        table: the result of `verdict.judge`.
        accuracies: fractions by variant and seed.
        modules: as for `verdict.judge`, which made the table.

    Returns:
        The page.

    Raises:
        InputError: if it cannot be written.
    """
    names = [row.variant.name for row in table.rows]
    values = _common(table, accuracies, table.margin) | {
        "title": f"{', '.join(names[1:])} against {names[0]}",
        "rows": [sections.table_row(row, table, None) for row in table.rows],
        "settings": f"These accuracies are from {source.name}; the runs are not here.",
        "rule": sections.rule(table, modules),
        "trained": False,
    }
    caption = f"{source.name}, {max(row.variant.n for row in table.rows)} seeds"
    return _finish(folder, values, _draw_table(table, accuracies, table.margin, caption))


def _finish(folder, values, drawn) -> Path:
    """Writes the page and its figures."""
    shown = {"differences", "reproduce", *drawn} | {name for name in SECTIONS if values.get(name)}
    shown |= {"gates"} if values["signs"] else set()
    templates = importlib.resources.files("jaxattn.report") / "templates"
    values |= {
        "css": (templates / "report.css").read_text("utf-8"),
        "table": (templates / "table.js").read_text("utf-8"),
        "links": (templates / "links.js").read_text("utf-8"),
        "sections": [(id, name) for id, name in SECTIONS.items() if id in shown],
        "figures": {name: _inline(figure) for name, figure in drawn.items()},
    }
    _write(folder, pages("jaxattn.comparison", "jaxattn.report").get_template("compare.html").render(**values), drawn)
    return folder / "compare.html"


def _write(folder: Path, html: str, drawn: dict[str, "Figure"]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "compare.html", html)
    except OSError as error:
        raise InputError(
            f"cannot write {folder / 'compare.html'}: {error.strerror}; choose another folder", "out"
        ) from error
    for name, file in file_names(drawn).items():
        for form in ("png", "svg"):
            canvas.write(drawn[name], folder / "figures" / f"{file}.{form}")


def _common(table, accuracies, margin) -> dict[str, Any]:
    """The values that every page shows; those that need runs are empty."""
    nothing: dict[str, Any] = {"command": None, "extended": "", "trained_on": "", "many": False, "superclasses": False}
    nothing["robustness"] = None
    nothing |= {
        name: []
        for name in ("classes", "images", "knockout", "by_site", "gates", "signs", "failed", "notes", "runs", "costs")
    }
    return nothing | {
        "trained": True,
        "outcomes": {},
        "baseline": table.baseline,
        "planned": max(table.looks, default=0),
        "provisional": sections.provisional(table),
        "rule": sections.rule(table),
        "margin": f"{margin:g}",
        "pairs": pairs(accuracies),
        "unlisted": len(accuracies) > MAX_LISTED,
        "unequal": bool(table.balanced),
        "version": __version__,
    }


def _values(folder, plan, runs, table, predicted, test, spec) -> dict[str, Any]:
    results = {name: {seed: run.result for seed, run in by_seed.items()} for name, by_seed in runs.items()}
    crossed = sections.crossed_intervals(table, predicted, test)
    return {
        "title": f"{', '.join(plan.variants[1:])} against {plan.variants[0]} on {spec.name}",
        "rows": [sections.table_row(row, table, crossed.get(row.variant.name)) for row in table.rows],
        "outcomes": outcomes(results, table.baseline, bool(table.balanced)),
        "costs": sections.costs(runs),
        "many": len(spec.classes) > MAX_ROWS,
        "superclasses": bool(spec.superclasses),
        "classes": sections.by_class(table, predicted, test, spec),
        "knockout": usage.knockout(predicted, test),
        "by_site": usage.knockout_by_site(predicted, test),
        "trained_on": sections.trained_on(runs),
        "runs": sections.listed(folder, runs),
    }


def _draw(plan: Plan, runs: Runs, table: Comparison, values: dict[str, Any], data: str) -> dict[str, "Figure"]:
    """The figures by name; those by class are `classes-<variant>`."""
    seeds = max((len(by_seed) for by_seed in runs.values()), default=0)
    caption = f"{data}, network {plan.config.network}, recipe {plan.config.recipe}, {seeds} seeds"
    finished = {name: by_seed for name, by_seed in runs.items() if by_seed}
    drawn = _draw_table(table, accuracies(finished), plan.margin, caption)
    metrics = {
        name: [run.metrics for run in by_seed.values()]
        for name, by_seed in finished.items()
        if next(iter(by_seed.values())).config.monitored == plan.config.monitored  # one split in one figure
    }
    if plan.config.monitored is not None and metrics:
        drawn["curves"] = figures.learning_curves(metrics, plan.config.monitored, caption)
    drawn["costs"] = figures.costs(values["costs"], caption)
    if values["robustness"]:
        drawn["robustness"] = figures.robustness(values["robustness"].accuracies, caption)
    for one in values["classes"]:
        title, x = f"{one['name']}: difference by class", "points of accuracy, simultaneous 95 %"
        drawn[f"classes-{one['name']}"] = figures.forest(title, one["rows"], caption, x=x)
    return drawn


def _draw_table(table, accuracies, margin, caption) -> dict[str, "Figure"]:
    """The figures that need only the table and the accuracies."""
    drawn = {"seeds": figures.seeds(accuracies, caption)}
    intervals = [
        figures.Interval(row.variant.name, row.difference.mean, *(row.difference.interval or (np.nan, np.nan)))
        for row in table.rows
        if row.difference
    ]
    if intervals:
        title, x = f"Difference to {table.baseline}", "points of test accuracy"
        drawn["differences"] = figures.forest(title, intervals, caption, margin, x)
    return drawn


def _gates(runs: Runs, test: Split) -> dict[str, "Figure"]:
    """Gates by class, from the lowest seed of each variant that weights channels."""
    drawn = {}
    for name, by_seed in runs.items():
        if by_seed:
            run = load_run(
                by_seed[min(by_seed)].folder, trust_code=True, accept_changed_code=True
            )  # `results.notes` has checked the code
            analysis = Analysis(run, test)
            if analysis.gate_profiles:
                caption = f"{name}, seed {min(by_seed)}"
                drawn[name] = gates_by_class.draw(analysis.gate_profiles, analysis.tested, caption)
    return drawn


def _inline(figure: "Figure") -> str:
    """The figure as SVG for the page: no background, and text, axes and grid in the page's colours."""
    svg = canvas.encode(figure, "svg").decode()
    for drawn, shown in ON_PAGE.items():
        svg = svg.replace(drawn, shown)
    return svg[svg.index("<svg") :]
