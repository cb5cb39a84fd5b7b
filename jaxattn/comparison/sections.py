"""What a comparison's page shows, as plain numbers and text."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxattn.attention.cost import cost
from jaxattn.comparison import MARGIN, sentences
from jaxattn.comparison.figures import Cost, Interval
from jaxattn.comparison.plan import Plan
from jaxattn.comparison.predictions import Predicted
from jaxattn.comparison.results import Failures, Runs
from jaxattn.comparison.statistics import class_differences, crossed_interval
from jaxattn.comparison.table import Comparison, Row
from jaxattn.comparison.verdict import family_of
from jaxattn.config import Config
from jaxattn.data.spec import Spec
from jaxattn.data.splits import Split
from jaxattn.explain.groups import MAX_ROWS, class_names
from jaxattn.metrics import frequencies
from jaxattn.recipes import is_file, tuned_for
from jaxattn.report.reproduce import changed, flag, setting
from jaxattn.training.program import network

NAMED = ("dataset", "network", "recipe")  # settings that the sentence always names


def table_row(judged: Row, table: Comparison, crossed: tuple[float, float] | None) -> dict[str, Any]:
    """A line of the table: a variant, and its difference from the baseline if they have a seed in common.

    Args:
        judged: a row of `table`.
        table: the result of `verdict.judge`.
        crossed: the interval for new seeds and new images, in points; None if it is not known.
    """
    one, difference, balanced = judged.variant, judged.difference, table.balanced.get(judged.variant.name)
    mean, sd = (None if value is None else 100 * value for value in (one.mean, one.sd))
    spoken = f"{one.name}: " + ("no finished run." if mean is None else f"mean {mean:.2f} % of {one.n} seeds.")
    shown = None
    if difference is not None:
        shown = {
            "n": difference.n,
            "mean": difference.mean,
            "images": difference.images,  # None if their number is not known
            "interval": "–" if difference.interval is None else _range(*difference.interval),
            "crossed": "–" if crossed is None else _range(*crossed),
            "corrected": "–" if difference.corrected is None else f"{difference.corrected:.3f}",
            "wins": f"{difference.wins:.0%}",
            "correlation": "–" if difference.correlation is None else f"{difference.correlation:+.2f}",
        }
    text = None if judged.verdict is None else judged.verdict.text
    return {
        "name": one.name,
        "n": one.n,
        "mean": mean,
        "balanced": None if balanced is None else 100 * balanced,
        "sd": sd,
        "verdict": text,
        "spoken": spoken,
        "difference": shown,
    }


def _range(low, high):
    return f"{low:+.2f} to {high:+.2f}" if np.isfinite(low) else "–"


def _correct(row, table, predicted, test):
    """Whether variant and baseline are correct, by image and by seed of the look that decides: two bool [S, N]."""
    both = predicted[row.variant.name], predicted[table.baseline]
    seeds = sorted(both[0].keys() & both[1].keys())[: row.difference.n]
    return [np.stack([by_seed[seed]["intact"] == test.labels for seed in seeds]) for by_seed in both]


def crossed_intervals(table: Comparison, predicted: Predicted, test: Split) -> dict[str, tuple[float, float]]:
    """The interval of each variant's difference for new seeds and new images, in points."""
    rows = [row for row in table.rows if row.difference is not None]
    return {row.variant.name: crossed_interval(*_correct(row, table, predicted, test)) for row in rows}


def with_new_images(table: Comparison, crossed: Mapping[str, tuple[float, float]]) -> Comparison:
    """The table, with a remark on each claim that does not extend to new test images.

    Args:
        table: the result of `judge`.
        crossed: the 95 % interval of each variant's difference for new seeds and new images, in points.
    """

    def extended(row):
        low, high = crossed.get(row.variant.name, (np.nan, np.nan))
        if row.verdict is None or row.verdict.kind not in ("helps", "hurts") or not low <= 0 <= high:
            return row
        return row._replace(verdict=row.verdict._replace(text=row.verdict.text + sentences.only_here(low, high)))

    return table._replace(rows=tuple(map(extended, table.rows)))


def by_class(table: Comparison, predicted: Predicted, test: Split, spec: Spec) -> list[dict[str, Any]]:
    """Differences by class of each variant with two common seeds or more: a figure's rows, and a table of all classes.

    The figure has all classes or, if there are many, those that changed most.
    """
    tables = []
    for row in table.rows:
        if row.difference is None or row.difference.n < 2:
            continue
        correct = _correct(row, table, predicted, test)
        means, ends = class_differences(correct[0], correct[1], test.labels, len(spec.classes))
        ends = ends.clip(-100, 100)  # no difference is larger
        largest = np.argsort(-np.abs(means), kind="stable")[:MAX_ROWS]  # NaN is last
        shown = np.arange(len(means)) if len(means) <= MAX_ROWS else largest[np.argsort(-means[largest], kind="stable")]
        names = class_names(spec.classes)
        rows = [Interval(names[i], float(means[i]), *map(float, ends[i])) for i in shown]
        known = [one for one in rows if np.isfinite(one.mean)]  # not those without test images
        spoken = " ".join(f"{one.label} {one.mean:+.1f} ({one.low:+.1f} to {one.high:+.1f})." for one in known)
        every = _every_class(spec, means, ends, frequencies(test.labels, len(means)))
        tables.append({"name": row.variant.name, "rows": rows, "spoken": spoken, "every": every})
    return tables


def _every_class(spec, means, ends, counts):
    return [
        {
            "name": name,
            "superclass": spec.superclasses[i] if spec.superclasses else "",
            "count": int(counts[i]),
            "mean": "–" if np.isnan(means[i]) else f"{means[i]:+.1f}",
            "interval": "–" if np.isnan(ends[i, 0]) else f"{ends[i, 0]:+.1f} to {ends[i, 1]:+.1f}",
        }
        for i, name in enumerate(spec.classes)
    ]


def costs(runs: Runs) -> list[Cost]:
    """Accuracy and costs of each variant with a finished run."""
    costs_by_variant = []
    for name, by_seed in runs.items():
        if not by_seed:
            continue
        some = next(iter(by_seed.values()))
        speeds = [line["images_per_second"] for run in by_seed.values() for line in run.metrics[1:] or run.metrics]
        accuracy = float(np.mean([run.result["test_accuracy"] for run in by_seed.values()]))
        spec = some.manifest.data
        adds = cost(network(some.config, spec), spec.image_shape).multiply_adds
        step = some.config.batch_size / float(np.median(speeds))
        costs_by_variant.append(Cost(name, accuracy, some.result["parameters"], adds, step))
    return costs_by_variant


def provisional(table: Comparison) -> str:
    """Names the variants whose runs are not all finished; empty if there are none."""
    waiting = [row.variant.name for row in table.rows if row.verdict and row.verdict.kind == "provisional"]
    return f"not all planned runs are finished ({', '.join(waiting)})." if waiting else ""


def rule(table: Comparison, modules: bool = True) -> str:
    """How verdicts are decided, in sentences; `modules` as for `verdict.judge`."""
    names = [row.variant.name for row in table.rows]
    families = {family_of(name, names, table.baseline, table.looks, modules) for name in names[1:]}
    levels = " or ".join(sorted({f"{100 * family.level:.4g} %" for family in families}))
    looks = f", at {' and '.join(map(str, table.looks))} seeds" if len(table.looks) > 1 else ""
    return (
        "An effect is claimed if the interval of the difference of the two means (Welch, with unequal variances) "
        f"excludes zero. A single interval is one of {levels}, so that all variants{looks} together keep 95 %"
        f"{'; modules and controls are counted separately' if modules else ''}."
    )


def extended(plan: Plan) -> str:
    """What may have been seen of earlier plans, and when they were extended; empty if there were none."""
    plans = [
        f"{' or '.join(map(str, earlier.looks))} seeds"
        + (f" of {', '.join(earlier.variants)}" if earlier.variants else "")
        + (f", until {earlier.date}" if earlier.date else "")
        for earlier in plan.earlier
    ]
    return "; then ".join(plans)


def failed(failures: Failures) -> list[dict[str, Any]]:
    """Each run that failed: its variant, its seed, whether it diverged, and the reason."""
    return [
        {"name": name, "seed": seed, "short": str(by_seed[seed]), "reason": by_seed[seed].reason}
        for name, by_seed in failures.items()
        for seed in sorted(by_seed)
    ]


def settings(configs: Sequence[Config], data: str) -> str:
    """What all runs share, from their configurations, in a sentence; `data` is the data set's name."""
    config, *others = configs
    shared = [one for one in _changed(config) if all(one in _changed(other) for other in others)]
    settings = [f"{name.replace('_', ' ')} {value}" for name, value in shared if name not in NAMED]
    recipes = list(dict.fromkeys(one.recipe for one in configs))
    epochs = dict.fromkeys(str(one.epochs) for one in configs)
    text = f"Network {config.network}, recipe {' or '.join(recipes)}, {' or '.join(epochs)} epochs, on {data}"
    if settings:
        text += f"; changed from the recipe: {', '.join(settings)}."
    else:
        text += "." if others else "; nothing changed."
    attention = tuned_for(config.network, config.recipe)
    if len(recipes) > 1 or is_file(config.recipe):
        return text
    if attention is None:
        return f"{text} The recipe was not tuned for this network."
    return f"{text} The recipe was tuned for {attention.replace('none', 'the network without attention')} alone."


def command(folder: Path, plan: Plan) -> str:
    """The command line that repeats the comparison, or resumes it."""
    looks = ",".join(map(str, plan.looks))
    words = ["jaxattn", "compare", flag("attention"), *plan.variants, flag("seeds"), looks]
    words += [] if plan.margin == MARGIN else [flag("margin"), f"{plan.margin:g}"]
    for name, value in _changed(plan.config):
        words += setting(name, value)
    return shlex.join([*words, flag("out"), str(folder)])


def _changed(config):
    return [(name, value) for name, value in changed(config) if name not in ("attention", "seed")]


def trained_on(runs: Runs) -> str:
    """Devices and versions of all runs, in a sentence."""
    results = [run.result for by_seed in runs.values() for run in by_seed.values()]
    devices = sorted({result["device"] for result in results})
    versions = sorted({", ".join(f"{name} {one}" for name, one in result["versions"].items()) for result in results})
    return f"Trained on {'; '.join(devices)}, with {'; '.join(versions)}."


def listed(folder: Path, runs: Runs) -> list[dict[str, Any]]:
    """Each run, with a relative link to its report if there is one."""
    rows = []
    for name, by_seed in runs.items():
        for seed, run in sorted(by_seed.items()):
            report = run.folder / "report.html"
            link = os.path.relpath(report, folder).replace(os.sep, "/") if report.exists() else None
            accuracy, minutes = 100 * run.result["test_accuracy"], run.result["seconds"] / 60
            rows.append({"name": name, "seed": seed, "accuracy": accuracy, "minutes": minutes, "report": link})
    return rows
