"""What a comparison trains: variants of the attention, seeds, and the settings that all runs share."""

import dataclasses
import datetime
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from jaxattn.comparison import MARGIN
from jaxattn.comparison.statistics import MAX_SEEDS
from jaxattn.comparison.table import Comparison
from jaxattn.comparison.variants import config_of, parse
from jaxattn.comparison.verdict import Earlier
from jaxattn.config import Config
from jaxattn.errors import InputError, first_line
from jaxattn.limits import read_json
from jaxattn.lock import exclusive_lock
from jaxattn.runs.formats import completed
from jaxattn.runs.leftovers import is_empty
from jaxattn.runs.manifest import read_manifest
from jaxattn.runs.store import write_json

FREE = {"attention", "seed", "data_dir"}  # fields in which the runs of a comparison may differ


@final
@dataclasses.dataclass(frozen=True)
class Plan:
    """The contents of `compare.json`.

    Attributes:
        config: what all runs share; its attention is the baseline's, without the baseline's own settings.
        variants: names, as `variants.parse` reads them; the first is the baseline.
        looks: numbers of seeds (0, 1, ...) at which the variants are judged, ascending; more are trained only while
            a verdict is still open.
        margin: in points; a smaller difference counts as none.
        earlier: plans that already had verdicts when they were extended, oldest first.
    """

    config: Config
    variants: tuple[str, ...]
    looks: tuple[int, ...]
    margin: float = MARGIN
    earlier: tuple[Earlier, ...] = ()

    @property
    def seeds(self) -> int:
        """The maximum number of seeds."""
        return self.looks[-1]

    @property
    def count(self) -> int:
        """The maximum number of runs."""
        return self.seeds * len(self.variants)

    def config_of(self, variant: str, seed: int) -> Config:
        """The configuration of a run of a variant."""
        return config_of(parse(variant), self.config, seed)

    def variant_of(self, config: Config) -> str:
        """The name of the variant of a run, by its configuration."""
        return self._names[dataclasses.replace(config, seed=0)]

    @functools.cached_property
    def _names(self):
        return {self.config_of(name, 0): name for name in self.variants}

    def runs(self) -> list[tuple[str, Config]]:
        """The name of each run's folder, and its configuration; all variants of a seed come before the next seed."""
        return [
            (run_name(variant, seed), dataclasses.replace(config, seed=seed))
            for seed in range(self.seeds)
            for config, variant in self._names.items()
        ]

    def folders(self, folder: Path) -> list[tuple[Path, Config]]:
        """The path of each run's folder in that of the comparison, and its configuration; ordered like `runs`."""
        return [(folder / name, config) for name, config in self.runs()]


def check_variants(plan: Plan) -> list[Config]:
    """The configuration of each variant, with seed 0.

    Raises:
        InputError: if a setting breaks its rule, or two variants are the same, or have the same folder.
    """
    names: dict[Any, str] = {}
    for name in plan.variants:
        config, path = plan.config_of(name, 0), run_name(name, 0).lower()
        for key in (config, path):
            if key in names:
                same = "settings" if key is config else "folder"
                raise InputError(f"variants {names[key]} and {name} have the same {same}; leave one out", "attention")
            names[key] = name
    return [key for key in names if isinstance(key, Config)]


def run_name(variant: str, seed: int) -> str:
    """The name of a run's folder, such as "wide-se-s0"."""
    return f"{re.sub(r'[^A-Za-z0-9_.]+', '-', variant)}-s{seed}"


def write_plan(folder: Path, wanted: Plan, dataset_hash: str, seen: Callable[[Plan], tuple[int, ...]]) -> Plan:
    """Writes a plan into a folder, or adds its variants and seeds to the one that is there.

    If the old plan was complete at one of its looks, it is recorded as an earlier plan.

    Args:
        folder: the folder of the comparison.
        wanted: the plan.
        dataset_hash: hash of the data that its runs are trained on.
        seen: returns the complete looks of a plan.

    Returns:
        The plan that is now in the folder.

    Raises:
        InputError: if the folder holds another comparison, other runs or something else, or cannot be written.
            Nothing in it is changed then.
    """
    try:
        if folder.exists() and not (folder / "compare.json").exists() and not is_empty(folder):
            raise InputError(f"{folder} holds no comparison; choose an empty or a new folder", "out")
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(folder, wait=True):
            old = read_plan(folder) if (folder / "compare.json").exists() else None
            plan = wanted if old is None else _merged(folder, old, wanted, seen)
            check_planned(folder, plan, dataset_hash)
            if plan != old:  # an unchanged plan keeps its verdicts
                earlier = [plan_before._asdict() for plan_before in plan.earlier]
                write_json(folder / "compare.json", dataclasses.asdict(plan) | {"earlier": earlier})
            return plan
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}; choose another folder", "out") from error


def write_verdicts(folder: Path, table: Comparison) -> None:
    """Adds the verdicts to the plan in a folder, for other programs to read.

    Raises:
        InputError: if it cannot be written.
    """
    rows = [
        {"variant": row.variant.name, **row.verdict._asdict(), "n": row.difference.n if row.difference else 0}
        | ({"mean": row.difference.mean, "interval": row.difference.interval} if row.difference else {})
        for row in table.rows
        if row.verdict
    ]
    try:
        with exclusive_lock(folder, wait=True):
            write_json(folder / "compare.json", read_json(folder / "compare.json") | {"verdicts": rows})
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}; choose another folder", "out") from error


def check_planned(folder: Path, plan: Plan, dataset_hash: str | None = None) -> None:
    """Checks that each run in a comparison's folder is the planned one, and that all were trained on the same data.

    Args:
        folder: the folder of the comparison.
        plan: its plan.
        dataset_hash: hash of the data; None for that of the first run.

    Raises:
        InputError: if one is another run. Runs whose `config.json` is damaged are left to `results.failures`.
    """
    for path, config in plan.folders(folder):
        try:
            manifest = read_manifest(path)
        except InputError:
            continue
        of_run = manifest.config.to_json()
        for name, wanted in config.to_json().items():
            if name != "data_dir" and (value := of_run[name]) != wanted:
                raise InputError(f"{path} must hold a run with {name} {wanted}, found {value}; move it elsewhere")
        dataset_hash = dataset_hash or manifest.dataset_hash
        if manifest.dataset_hash != dataset_hash:
            raise InputError(
                f"{path} was trained on other images than this comparison (their hash differs); choose their folder, "
                "or move the run elsewhere",
                "data_dir",
            )


def read_plan(folder: Path) -> Plan:
    """The plan in a folder.

    Raises:
        InputError: if there is none, or it is damaged.
    """
    path = folder / "compare.json"
    try:
        return _parsed(read_json(path))
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no comparison: there is no compare.json in it") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {first_line(error)}; start a new comparison") from error


def _parsed(values: dict[str, Any]) -> Plan:
    config, names = Config.from_json(completed(values["config"])), values["variants"]
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise ValueError("variants must be a list of names")
    if len({run_name(name, 0).lower() for name in names}) < len(names):
        raise ValueError("two variants have the same name or folder")
    for name in names:
        config_of(parse(name), config, 0)
    if "looks" not in values:  # written by an earlier version
        earlier = [Earlier(_parsed_looks([seeds])) for seeds in values["extended"]]
        return Plan(config, tuple(names), _parsed_looks([values["seeds"]]), earlier=tuple(earlier))
    earlier = [
        Earlier(_parsed_looks(one["looks"]), tuple(map(str, one["variants"])), str(one["date"]))
        for one in values["earlier"]
    ]
    return Plan(config, tuple(names), _parsed_looks(values["looks"]), float(values["margin"]), tuple(earlier))


def _parsed_looks(values):
    for number in values:
        if type(number) is not int or not 0 < number <= MAX_SEEDS:
            raise ValueError(f"seeds must be a whole number from 1 to {MAX_SEEDS:,}, found {number!r:.40}")
    if not values or sorted(set(values)) != values:
        raise ValueError(f"numbers of seeds must be ascending, found {values!r:.40}")
    return tuple(values)


def difference(one: Config, other: Config) -> str | None:
    """The first field in which two configurations differ, with both values; None if only attention and seed do."""
    for name, value in one.to_json().items():
        if name not in FREE and value != getattr(other, name):
            return f"{name} {value}, not {getattr(other, name)}"
    return None


def _merged(folder, old, new, seen):
    other = difference(old.config, new.config)
    if other is not None:
        raise InputError(f"{folder} holds a comparison with {other}; choose another folder", "out")
    variants = (*old.variants, *(name for name in new.variants if name not in old.variants))
    if new.seeds < old.seeds:
        raise InputError(f"seeds cannot be reduced: {folder} was planned with {old.seeds}, got {new.seeds}", "seeds")
    if new.margin != old.margin:
        raise InputError(f"{folder} was planned with a margin of {old.margin:g} points, got {new.margin:g}", "margin")
    earlier, looks = old.earlier, seen(old) if (variants, new.looks) != (old.variants, old.looks) else ()
    if looks:
        earlier = (*earlier, Earlier(looks, old.variants, datetime.date.today().isoformat()))
    config = dataclasses.replace(old.config, data_dir=new.config.data_dir)
    return Plan(config, variants, new.looks, old.margin, earlier)
