"""`compare.json`: the plan of a comparison in its folder, how it is extended, and the verdicts for other programs."""

import dataclasses
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxattn.comparison import MARGIN
from jaxattn.comparison.plan import Plan, difference
from jaxattn.comparison.statistics import MAX_SEEDS
from jaxattn.comparison.table import Comparison
from jaxattn.comparison.variants import COMMON, config_of, parse
from jaxattn.comparison.verdict import Earlier
from jaxattn.config import Config
from jaxattn.errors import InputError, first_line
from jaxattn.limits import read_json
from jaxattn.lock import exclusive_lock
from jaxattn.runs.code import check_trusted
from jaxattn.runs.formats import completed
from jaxattn.runs.leftovers import is_empty
from jaxattn.runs.manifest import read_manifest
from jaxattn.runs.store import write_json
from jaxattn.runs.weights import located

Seen = Callable[[Plan], tuple[tuple[int, ...], int]]


def write_plan(folder: Path, wanted: Plan, dataset_hash: str, seen: Seen, trust_code: bool = False) -> Plan:
    """Writes a plan into a folder, or adds its variants and seeds to the one that is there.

    If results of the old plan may have been seen, it is recorded as an earlier plan.

    Args:
        folder: the folder of the comparison.
        wanted: the plan.
        dataset_hash: hash of the data that its runs are trained on.
        seen: as `results.seen`, of a plan in this folder.
        trust_code: whether modules of variants that only the folder names may be imported.

    Returns:
        The plan that is now in the folder.

    Raises:
        InputError: if the folder holds another comparison, other runs or something else, or cannot be written; or if
            a new variant's `init` is not there, or one that only the folder names is not trusted. Nothing in it is
            changed then.
    """
    try:
        if folder.exists() and not (folder / "compare.json").exists() and not is_empty(folder):
            raise InputError(f"{folder} holds no comparison; choose an empty or a new folder", "out")
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(folder, wait=True):
            old = read_plan(folder) if (folder / "compare.json").exists() else None
            plan = wanted if old is None else _merged(folder, old, wanted, seen)
            for name in set(plan.variants) - set(wanted.variants):
                check_trusted(plan.config_of(name, 0), folder, trust_code)
            for name in set(plan.variants) - set(old.variants if old else ()):
                if (init := plan.config_of(name, 0).init) is not None:
                    located(init)  # raises before a variant is planned that cannot start
            check_planned(folder, plan, dataset_hash)
            if plan != old:  # an unchanged plan keeps its verdicts
                write_json(folder / "compare.json", _values(plan))
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
        dataset_hash = check_run(path, config, dataset_hash)


def check_run(path: Path, config: Config, dataset_hash: str | None) -> str | None:
    """Checks that a folder, if it holds a run, holds the planned one, trained on data with this hash.

    Returns:
        The hash; that of the run if None was given.

    Raises:
        InputError: if it is another run. One whose `config.json` is damaged is left to `results.failures`.
    """
    try:
        manifest = read_manifest(path)
    except InputError:
        return dataset_hash
    stored = manifest.config.to_json()
    for name, wanted in config.to_json().items():
        if name != "data_dir" and (value := stored[name]) != wanted:
            raise InputError(f"{path} must hold a run with {name} {wanted}, found {value}; move it elsewhere")
    if manifest.dataset_hash != (dataset_hash or manifest.dataset_hash):
        raise InputError(
            f"{path} was trained on other images than this comparison (their hash differs); choose their folder, "
            "or move the run elsewhere",
            "data_dir",
        )
    return manifest.dataset_hash


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


def _values(plan):
    """The contents of `compare.json`, without the verdicts."""
    configs = {name: plan.config_of(name, 0).to_json() for name in plan.variants}
    earlier = [before._asdict() for before in plan.earlier]
    return dataclasses.asdict(plan) | {"config": plan.config.to_json(), "configs": configs, "earlier": earlier}


def _parsed(values: dict[str, Any]) -> Plan:
    config, names = Config.from_json(completed(values["config"])), values["variants"]
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise ValueError("variants must be a list of names")
    if len({*names}) < len(names):
        raise ValueError("two variants have the same name")
    configs = _parsed_configs(values, config)
    if "looks" not in values:  # written by an earlier version
        earlier = [Earlier(_parsed_looks([seeds])) for seeds in values["extended"]]
        looks, margin = _parsed_looks([values["seeds"]]), MARGIN
    else:
        looks, margin = _parsed_looks(values["looks"]), float(values["margin"])
        earlier = [
            Earlier(
                _parsed_looks(one["looks"]),
                tuple(map(str, one["variants"])),
                str(one["date"]),
                _parsed_looks(one.get("planned", one["looks"])),
            )
            for one in values["earlier"]
        ]
    return Plan(config, tuple(names), looks, margin, tuple(earlier), configs)


def _parsed_configs(values, common):
    """The configurations of the variants, which depend on no file and on no version once they are planned."""
    if "configs" not in values:  # written by an earlier version
        for name in values["variants"]:
            config_of(parse(name), common, 0)
        return None
    configs = tuple(Config.from_json(completed(values["configs"][name])) for name in values["variants"])
    for name, config in zip(values["variants"], configs, strict=True):
        if config.attention != parse(name).attention or config.seed:
            raise ValueError(f"the configuration of {name} is not its own")
        for setting in COMMON - {"attention", "seed"}:
            if getattr(config, setting) != getattr(common, setting):
                raise ValueError(f"{setting} of {name} is not that of the other runs")
    return configs


def _parsed_looks(values):
    for number in values:
        if type(number) is not int or not 0 < number <= MAX_SEEDS:
            raise ValueError(f"seeds must be a whole number from 1 to {MAX_SEEDS:,}, found {number!r:.40}")
    if not values or sorted(set(values)) != values:
        raise ValueError(f"numbers of seeds must be ascending, found {values!r:.40}")
    return tuple(values)


def _merged(folder, old, new, seen):
    other = difference(old.config, new.config)
    if other is not None:
        raise InputError(f"{folder} holds a comparison with {other}; choose another folder", "out")
    if new.variants[0] != old.variants[0]:
        baselines = f"{folder} was planned with the baseline {old.variants[0]}, got {new.variants[0]}"
        raise InputError(f"{baselines}; name the same one, or choose another folder", "baseline")
    if new.seeds < old.seeds:
        raise InputError(f"seeds cannot be reduced: {folder} was planned with {old.seeds}, got {new.seeds}", "seeds")
    if new.margin != old.margin:
        raise InputError(f"{folder} was planned with a margin of {old.margin:g} points, got {new.margin:g}", "margin")
    for name in set(old.variants) & set(new.variants):
        other = difference(old.config_of(name, 0), new.config_of(name, 0))
        if other is not None:
            raise InputError(f"{folder} was planned with another {name}, of {other}; choose another folder", "out")
    variants = (*old.variants, *(name for name in new.variants if name not in old.variants))
    configs = tuple((old if name in old.variants else new).config_of(name, 0) for name in variants)
    configs = tuple(dataclasses.replace(config, data_dir=new.config.data_dir) for config in configs)
    common = dataclasses.replace(old.config, data_dir=new.config.data_dir)
    return Plan(common, variants, new.looks, old.margin, _earlier(folder, old, new, variants, seen), configs)


def _earlier(folder, old, new, variants, seen):
    """The earlier plans of an extended one: with the old plan, if its results may have been seen."""
    if (variants, new.looks) == (old.variants, old.looks):
        return old.earlier
    looks, seeds = seen(old)
    late = [look for look in new.looks if look <= seeds and look not in old.looks]
    if late:
        raise InputError(
            f"a look at {late[0]} seeds can no longer be planned: results of {seeds} seeds are in {folder}; plan looks "
            "at more seeds",
            "seeds",
        )
    if new.looks != old.looks and seeds > max(looks, default=1):
        looks = (*looks, seeds)  # provisional, but it may have moved the looks
    if not looks:
        return old.earlier
    return (*old.earlier, Earlier(looks, old.variants, datetime.date.today().isoformat(), old.looks))
