"""The accuracy of variants on other images: by view and seed, and as differences from the baseline."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxattn.comparison.estimates import Estimate, estimate
from jaxattn.comparison.other_images import Measured
from jaxattn.comparison.table import Scores, points, summary
from jaxattn.robustness.view import ACCURACY


class ViewInfo(NamedTuple):
    """A view that networks were tested on, as in `robustness.json`: name, severity (0: none), number of images."""

    view: str
    severity: int
    images: int


class Row(NamedTuple):
    """A line of the table: one view, or the mean over the severities of a corruption.

    Attributes:
        name: name of the view.
        images: number of images in each severity.
        factor: multiplies the scores: 100 turns accuracies into percent; 1 for nats.
        scores: fractions or nats, by variant and seed.
    """

    name: str
    images: int
    factor: float
    scores: Mapping[str, Scores]

    def mean(self, variant: str) -> str:
        """The mean of a variant with its spread: "85.45 (sd 0.21)"."""
        one = summary(variant, self.scores[variant])
        if one.mean is None:
            return "–"
        return f"{self.factor * one.mean:.2f}" + ("" if one.sd is None else f" (sd {self.factor * one.sd:.2f})")

    def difference(self, variant: str, baseline: str, family: int) -> Estimate:
        """A variant minus the baseline over common seeds, in points or nats; the interval is NaN if there is none.

        Args:
            variant, baseline: their names.
            family: how many intervals are to hold simultaneously at 95 %.
        """
        scores, others = self.scores[variant], self.scores[baseline]
        known = estimate(variant, scores, others, family, self.factor)
        known = None if known and known.low == known.high else known  # with few images, all seeds may score the same
        values, controls = (self.factor / 100 * part for part in points(scores, others, scores))
        mean = (values - controls).mean().item() if len(values) else np.nan
        return known or Estimate(variant, len(values), mean, np.nan, np.nan)


class Robustness(NamedTuple):
    """The metrics of networks on other images.

    Attributes:
        views: the views that they were tested on.
        measured: by variant and seed, for each view a dict by metric; the first variant is the baseline.
        basis: what each run's numbers depend on (`predictions.basis`), by variant and seed.
        notes: what readers must know about the data and about single runs, one sentence each (`results.notes`).
    """

    views: tuple[ViewInfo, ...]
    measured: Mapping[str, Mapping[int, Sequence[Measured]]]
    basis: Mapping[str, Mapping[int, str]]
    notes: Sequence[str] = ()

    @property
    def baseline(self) -> str:
        """The variant that the others are compared with."""
        return next(iter(self.measured))

    def rows(self, by_severity: bool = False) -> list[Row]:
        """The lines of the table: for a corruption, the mean over its severities, or one line for each."""
        groups: dict[str, list[int]] = {}
        for number, seen in enumerate(self.views):
            severity = f" {seen.severity}" if by_severity and seen.severity else ""
            groups.setdefault(seen.view + severity, []).append(number)
        one = next(measured for by_seed in self.measured.values() for measured in by_seed.values())
        return [
            Row(
                name if metric == ACCURACY else f"{name}, {metric}",
                self.views[numbers[0]].images,
                100 if metric == ACCURACY else 1,
                {
                    variant: {s: float(np.mean([every[i][metric] for i in numbers])) for s, every in by_seed.items()}
                    for variant, by_seed in self.measured.items()
                },
            )
            for name, numbers in groups.items()
            for metric in one[numbers[0]]
        ]

    def table(self, by_severity: bool = False) -> list[list[str]]:
        """The table as text, its header first; without differences if there is a line for each severity."""
        rows, others = self.rows(by_severity), list(self.measured)[1:]
        family = max(1, len(rows) * len(others))
        counted = [f"{name}, {len(by_seed)} seed{'s' * (len(by_seed) != 1)}" for name, by_seed in self.measured.items()]
        shown = [] if by_severity else others
        lines = [["view", "images", *counted, *(f"{name} minus {self.baseline}" for name in shown)]]
        for row in rows:
            differences = [_shown(row.difference(name, self.baseline, family)) for name in shown]
            lines.append([row.name, f"{row.images:,}", *map(row.mean, self.measured), *differences])
        return lines

    @property
    def count(self) -> int:  # type: ignore[override]  # hides tuple.count
        """How many runs were tested."""
        return sum(map(len, self.measured.values()))

    @property
    def accuracies(self) -> list[tuple[str, Mapping[str, Scores]]]:
        """The lines of the table that are accuracies: their names, and fractions by variant and seed."""
        return [(row.name, row.scores) for row in self.rows() if row.factor == 100]

    @property
    def rule(self) -> str:
        """What the numbers mean, and the level of the intervals."""
        rows, others = self.rows(), len(self.measured) - 1
        nats = any(row.factor == 1 for row in rows)
        text = f"Accuracies are percent{', cross-entropies nats' * nats}; of a corruption, the mean of its severities."
        if others:
            text += (
                f" Differences are points{' or nats' * nats}, with Welch's interval, as in the verdict; all intervals "
                f"together keep 95 % (Bonferroni: {others} variant{'s' * (others != 1)} x {len(rows)} "
                f"view{'s' * (len(rows) != 1)})."
            )
        return text


def _shown(one: Estimate) -> str:
    if not one.n:
        return "–"
    return f"{one.mean:+.2f}" + (f" ({one.low:+.2f} to {one.high:+.2f})" if np.isfinite(one.low) else "")
