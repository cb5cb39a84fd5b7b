"""The result of a comparison: as a value, as text and for a notebook."""

import html
from pathlib import Path
from typing import NamedTuple

from jaxattn.comparison import results
from jaxattn.comparison.table import Comparison


class Result(NamedTuple):
    """The result of a comparison.

    Attributes:
        table: mean, spread, difference and verdict of each variant.
        page: the HTML page; None if none was written.
        failures: why runs failed, by variant and seed; failed runs are not in the table.
        notes: what readers must know about single runs, one sentence each.
    """

    table: Comparison
    page: Path | None
    failures: results.Failures
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One sentence for each variant but the baseline."""
        return "\n".join(f"{row.variant.name} {row.verdict.text}" for row in self.table.rows if row.verdict)

    def _repr_html_(self) -> str:
        """The page, for a notebook; the table if there is none."""
        if self.page is None:
            return f"<pre>{html.escape(str(self))}</pre>"
        page = html.escape(self.page.read_text("utf-8"))
        return f'<iframe srcdoc="{page}" width="100%" height="700" style="border:0"></iframe>'

    def __str__(self) -> str:
        """The table in plain text, and where the page is."""
        lines = []
        for variant, _, verdict in self.table.rows:
            mean = "no seed yet" if variant.mean is None else f"{variant.mean:.2%}"
            balanced = self.table.balanced.get(variant.name)
            spread = "" if variant.sd is None else f" (sd {100 * variant.sd:.2f})"
            spread += "" if balanced is None else f", balanced {balanced:.2%}"
            text = "the baseline" if verdict is None else verdict.text
            planned = max(self.table.looks, default=variant.n)
            counted = results.counted(variant.n, planned, self.failures.get(variant.name, {}))
            lines.append(f"{variant.name}: {mean}{spread}, {counted}: {text}")
        notes = [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, *notes, *([f"page: {self.page}"] if self.page else [])])
