"""What a comparison trains: variants of the attention, seeds, and the settings that all runs share."""

import dataclasses
import functools
from pathlib import Path
from typing import final

from jaxattn.comparison import MARGIN
from jaxattn.comparison.variants import config_of, file_names, parse
from jaxattn.comparison.verdict import Earlier
from jaxattn.config import Config
from jaxattn.errors import InputError
from jaxattn.runs.data import with_absolute_paths

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
        earlier: plans of which results may have been seen before they were extended, oldest first.
        configs: the configuration of each variant, with seed 0, as first planned; None to make them from the names.
    """

    config: Config
    variants: tuple[str, ...]
    looks: tuple[int, ...]
    margin: float = MARGIN
    earlier: tuple[Earlier, ...] = ()
    configs: tuple[Config, ...] | None = None

    @property
    def seeds(self) -> int:
        """The maximum number of seeds."""
        return self.looks[-1]

    @property
    def count(self) -> int:
        """The maximum number of runs."""
        return self.seeds * len(self.variants)

    def config_of(self, variant: str, seed: int) -> Config:
        """The configuration of a run of a variant of this plan."""
        return dataclasses.replace(self._configs[variant], seed=seed)

    def variant_of(self, config: Config) -> str:
        """The name of the variant of a run, by its configuration."""
        return self._names[dataclasses.replace(config, seed=0)]

    @functools.cached_property
    def _configs(self):
        parsed = map(parse, self.variants)
        configs = self.configs or [with_absolute_paths(config_of(variant, self.config, 0)) for variant in parsed]
        return dict(zip(self.variants, configs, strict=True))

    @functools.cached_property
    def _names(self):
        return {config: name for name, config in self._configs.items()}

    @functools.cached_property
    def _folders(self):
        return file_names(self.variants)

    def run_name(self, variant: str, seed: int) -> str:
        """The name of a run's folder, such as "wide-se-s0"."""
        return f"{self._folders[variant]}-s{seed}"

    def runs(self) -> list[tuple[str, Config]]:
        """The name of each run's folder, and its configuration; all variants of a seed come before the next seed."""
        return [
            (self.run_name(variant, seed), self.config_of(variant, seed))
            for seed in range(self.seeds)
            for variant in self.variants
        ]

    def folders(self, folder: Path) -> list[tuple[Path, Config]]:
        """The path of each run's folder in that of the comparison, and its configuration; ordered like `runs`."""
        return [(folder / name, config) for name, config in self.runs()]


def check_variants(plan: Plan) -> list[Config]:
    """The configuration of each variant, with seed 0.

    Raises:
        InputError: if a setting breaks its rule, or two variants are the same.
    """
    names: dict[Config, str] = {}
    for name in plan.variants:
        config = plan.config_of(name, 0)
        if config in names:
            raise InputError(f"variants {names[config]} and {name} have the same settings; leave one out", "attention")
        names[config] = name
    return [*names]


def difference(one: Config, other: Config) -> str | None:
    """The first field in which two configurations differ, with both values; None if only attention and seed do."""
    for name, value in one.to_json().items():
        if name not in FREE and value != getattr(other, name):
            return f"{name} {value}, not {getattr(other, name)}"
    return None
