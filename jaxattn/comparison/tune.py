"""Variants with tuned settings: chosen for each with the same small budget on held-out images, then compared.

A recipe that was tuned for one module may put another at a disadvantage. So each candidate is trained once, on the
training images alone, with a seed that no comparison uses; the validation accuracy chooses. The variants are then
compared twice, with fresh seeds: with the recipe's settings, and each with the settings chosen for it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxattn.comparison import results
from jaxattn.comparison.compare import compare
from jaxattn.comparison.overview import write_overview
from jaxattn.comparison.plan import Plan
from jaxattn.comparison.plan_file import check_run
from jaxattn.comparison.prepare import plan_of, read_data
from jaxattn.comparison.progress import Progress
from jaxattn.comparison.result import Result
from jaxattn.comparison.statistics import MAX_SEEDS
from jaxattn.comparison.train import train
from jaxattn.comparison.transfer import mirror_of
from jaxattn.comparison.variants import config_of, parse, vary
from jaxattn.errors import InputError, first_line
from jaxattn.limits import read_json
from jaxattn.paths import local_path
from jaxattn.runs.console import Console
from jaxattn.runs.failure import read_failure
from jaxattn.runs.store import write_json

SEED = MAX_SEEDS  # above those of any comparison
RECIPE, TUNED = "with the recipe's settings", "each with its own settings"
NOTE = (
    "Each candidate was trained once, with a separate seed, and chosen by its accuracy on held-out training images; "
    "test images were not used. Nothing is averaged over the two comparisons."
)


class Tuned(NamedTuple):
    """The results of two comparisons of the same variants.

    Attributes:
        results: by title: with the recipe's settings, and with the chosen ones.
        chosen: by variant, its name with the settings that were chosen for it.
        page: the HTML page.
    """

    results: Mapping[str, Result]
    chosen: Mapping[str, str]
    page: Path

    def __str__(self) -> str:
        """Both tables in plain text, and what was chosen."""
        tables = [f"{where}\n{result}" for where, result in self.results.items()]
        chosen = ", ".join(self.chosen.values())
        return "\n\n".join([*tables, f"chosen: {chosen}\npage: {self.page}"])


def compare_tuned(
    attention: Sequence[Any], settings: Sequence[str], seeds: int | Sequence[int] = 8,
    out: str | Path = "comparison", console: Console | None = None, **options: Any,
) -> Tuned:  # fmt: skip
    """Chooses settings for each variant, and compares the variants with and without them. The same call resumes.

    Args:
        attention, seeds, console, options: as for `compare`.
        settings: the candidates, as for `vary`: "learning_rate=.03,.06,.12".
        out: folder with the folders `tuning`, `recipe` and `tuned`; a mirror has the same layout.

    Raises:
        InputError: as for `compare`, or if no training images are held out, the folder was tuned over other values, or
            all candidates of a variant failed. A single candidate that fails is not chosen.
    """
    folder, console = local_path(out, "out"), console or Console()
    plan = plan_of(attention, seeds, **options)
    if plan.config.monitored != "validation":
        raise InputError("tune needs images that are held out: validation above 0, monitored", "validation")
    candidates = {name: [one.name for one in vary([parse(name)], settings)] for name in plan.variants}
    _check_held_out(plan, candidates)
    _check_same(folder / "tuning.json", candidates)
    accuracy, notes = _train(folder / "tuning", plan, candidates, console, options)
    chosen = {name: _best(name, {one: accuracy[one] for one in names}) for name, names in candidates.items()}
    write_json(folder / "tuning.json", {"seed": SEED, "validation_accuracy": accuracy, "chosen": chosen})
    console.line(f"chosen on held-out images: {', '.join(chosen.values())}")
    options = {name: value for name, value in options.items() if name not in ("vary", "baseline")}  # part of the names

    def compared(names, part):
        mirror = mirror_of(options.get("mirror"), part)
        return compare(list(names), seeds, folder / part, console, **{**options, "mirror": mirror})

    comparisons = {RECIPE: compared(chosen, "recipe"), TUNED: compared(chosen.values(), "tuned")}
    first, *others = chosen
    sentences = {name: f"was trained with {chosen[name]}, {first} with {chosen[first]}" for name in others}
    names = {TUNED: {own: name for name, own in chosen.items()}}
    note = " ".join([NOTE, *(f"{one}." for one in notes)])
    title = f"{', '.join(others)} against {first}, each tuned"
    return Tuned(comparisons, chosen, write_overview(folder / "tuned.html", title, sentences, note, comparisons, names))


def _check_held_out(plan, candidates):
    """Checks that no candidate would be chosen by test images, or by none."""
    for name in (one for names in candidates.values() for one in names):
        monitored = config_of(parse(name), plan.config, SEED).monitored
        if monitored != "validation":
            raise InputError(
                f"candidates are chosen by held-out images; {name} monitors {monitored or 'none'}: leave it out", "tune"
            )


def _check_same(path, candidates):
    """Checks that a folder was not tuned over other values: its comparisons depend on what was chosen then."""
    if not path.exists():
        return
    try:
        stored = set(read_json(path)["validation_accuracy"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged: {first_line(error)}; choose another folder", "out") from error
    if stored != {one for names in candidates.values() for one in names}:
        raise InputError(f"{path.parent} was tuned over other values: see {path.name}; choose another folder", "out")


def _best(name, accuracy):
    """The candidate with the best accuracy, the first of equal ones; failed candidates have None."""
    finished = {one: value for one, value in accuracy.items() if value is not None}
    if not finished:
        raise InputError(f"all candidates of {name} failed: {', '.join(accuracy)}; choose other values", "tune")
    return max(finished, key=finished.__getitem__)


def _train(folder, plan, candidates, console, options) -> tuple[dict[str, float | None], list[str]]:
    """The validation accuracy (fraction) of each candidate, at the epoch that would be tested; None if it failed.

    Also what readers must know of the candidates, one sentence each.
    """
    accept_changed_code = options.get("accept_changed_code", False)
    plan = Plan(plan.config, tuple(name for names in candidates.values() for name in names), (1,))
    config, splits = read_data(plan, console)
    plan = Plan(config, plan.variants, plan.looks)
    paths = {name: folder / plan.run_name(name, SEED) for name in plan.variants}
    for name, path in paths.items():
        check_run(path, plan.config_of(name, SEED), splits.digest())
    done = {name: run for name, path in paths.items() if (run := results.finished_or_none(path)) is not None}
    results.notes({name: {SEED: run} for name, run in done.items()}, True, accept_changed_code)  # raises before more
    progress = Progress(plan, {name: {SEED: run.result["test_accuracy"]} for name, run in done.items()}, {}, console)
    known = {*done, *(name for name, path in paths.items() if not options.get("retry_failed") and read_failure(path))}
    left = [(path, plan.config_of(name, SEED)) for name, path in paths.items() if name not in known]
    console.line(f"tuning: {len(left)} of {len(paths)} candidates are to be trained")
    with progress.shown():
        elsewhere = train(left, progress, mirror_of(options.get("mirror"), "tuning"), accept_changed_code)
    if elsewhere:
        raise InputError(f"{elsewhere[0]} is being trained by another process; run the command when it has finished")
    runs = {name: results.finished_or_none(path) for name, path in paths.items()}
    accuracy = {
        name: None if run is None else run.metrics[run.result["tested_epoch"] - 1]["val_accuracy"]
        for name, run in runs.items()
    }
    finished = {name: {SEED: run} for name, run in runs.items() if run is not None}
    return accuracy, results.notes(finished, True, accept_changed_code)
