"""The plan of a comparison from what a caller asks for, checked before anything is trained."""

from collections.abc import Sequence
from typing import Any

from jaxattn.comparison import MARGIN
from jaxattn.comparison.plan import Plan, check_variants
from jaxattn.comparison.statistics import MAX_SEEDS
from jaxattn.comparison.variants import named
from jaxattn.comparison.verdict import judge
from jaxattn.config import Config
from jaxattn.data.dataset import Dataset
from jaxattn.data.spec import Spec
from jaxattn.data.splits import Splits
from jaxattn.errors import InputError
from jaxattn.runs import compiled
from jaxattn.runs.console import Console
from jaxattn.runs.data import find, load_data, with_absolute_paths
from jaxattn.training.program import build

# Arguments of `compare` that are no part of a plan.
OTHERS = ("executor", "mirror", "retry_failed", "trust_code", "accept_changed_code")


def plan_of(
    attention: Sequence[Any], seeds: int | Sequence[int] = 8, *, margin: float = MARGIN, baseline: str | None = None,
    vary: Sequence[str] = (), **flags: Any,
) -> Plan:  # fmt: skip
    """The plan of a comparison; nothing is read or written.

    Args:
        attention, seeds, margin, baseline, vary, flags: as for `compare`; its other arguments are ignored.

    Raises:
        InputError: if it cannot be judged, or a name or a value is wrong.
    """
    variants, looks = named(attention, vary, baseline), (seeds,) if isinstance(seeds, int) else tuple(seeds) or (0,)
    flags = {name: value for name, value in flags.items() if name not in OTHERS}
    flags["dataset"] = flags.get("dataset") or "cifar10"  # never a fallback, which other runs might not use
    common = with_absolute_paths(Config(**flags, attention=variants[0].attention))
    names = tuple(variant.name for variant in variants)
    judge({name: {} for name in names}, names[0], looks, margin=margin)  # raises if it cannot be judged
    if looks[-1] > MAX_SEEDS:
        raise InputError(f"seeds must be at most {MAX_SEEDS:,}, got {looks[-1]}", "seeds")
    return Plan(common, names, looks, margin)


def check_plan(plan: Plan) -> Dataset:
    """Finds wrong names and modules before anything is trained, as far as possible without reading the images.

    Raises:
        InputError: if a variant or the data set cannot be used.
    """
    configs, dataset = check_variants(plan), find(plan.config)
    if dataset.spec:
        _check_variants(configs, dataset.spec)
    return dataset


def read_data(plan: Plan, console: Console) -> tuple[Config, Splits]:
    """The common configuration of a plan, with its data set's name, and the images; all variants are checked first.

    Raises:
        InputError: as for `check_plan`, or if the images are not available.
    """
    dataset = check_plan(plan)
    config, splits = load_data(plan.config, dataset, console)
    if splits.spec != dataset.spec:
        _check_variants(check_variants(plan), splits.spec)
    return config, splits


def _check_variants(configs: Sequence[Config], spec: Spec) -> None:
    for config in configs:
        compiled.check(config, build(config, spec, 1), spec.image_shape)
