"""The same variants in several networks, on several data sets: a comparison for each, and which verdicts transfer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxattn.comparison.compare import compare
from jaxattn.comparison.overview import write_overview
from jaxattn.comparison.prepare import check_plan, plan_of
from jaxattn.comparison.result import Result
from jaxattn.comparison.table import DECIDED
from jaxattn.comparison.variants import file_names
from jaxattn.paths import local_path
from jaxattn.runs.console import Console

NOTE = "One verdict for each network and data set; nothing is averaged over them, and none is corrected for the others."
Kinds = Mapping[str, str]  # the kind of a verdict, by network and data set


class Transfer(NamedTuple):
    """The results of several comparisons of the same variants; nothing is averaged over them.

    Attributes:
        results: by network and data set, such as "resnet20 on cifar100".
        page: the HTML page.
    """

    results: Mapping[str, Result]
    page: Path

    def __str__(self) -> str:
        """All tables in plain text, and a line for each variant that says whether its verdict transfers."""
        tables = [f"{where}\n{result}" for where, result in self.results.items()]
        rows = [f"{name} {transfers(kinds)}" for name, kinds in kinds_of(self.results).items()]
        return "\n\n".join([*tables, "\n".join([*rows, f"page: {self.page}"])])


def compare_all(
    networks: Sequence[str], datasets: Sequence[str], attention: Sequence[Any], seeds: int | Sequence[int] = 8,
    out: str | Path = "comparison", console: Console | None = None, **options: Any,
) -> Transfer:  # fmt: skip
    """Compares the variants in each network on each data set, in separate folders; all are checked before training.

    Args:
        networks, datasets: names.
        attention, seeds, console, options: as for `compare`.
        out: folder with a folder for each comparison; a mirror has the same layout.

    Raises:
        InputError: as for `compare`.
    """
    folder, console = local_path(out, "out"), console or Console()
    pairs = dict.fromkeys((network, data) for network in networks for data in datasets)
    chosen = dict(zip(pairs, file_names(map("\0".join, pairs)).values(), strict=True))
    for network, data in chosen:
        check_plan(plan_of(attention, seeds, network=network, dataset=data, **options))
    mirror, results = options.pop("mirror", None), {}
    for (network, data), name in chosen.items():
        where = f"{network} on {data}"
        console.line(f"{where}:")
        own = {**options, "network": network, "dataset": data, "mirror": mirror_of(mirror, name)}
        results[where] = compare(attention, seeds, folder / name, console, **own)
    sentences = {name: transfers(kinds) for name, kinds in kinds_of(results).items()}
    title = f"Does it transfer? {', '.join(sentences)}"
    return Transfer(results, write_overview(folder / "transfer.html", title, sentences, NOTE, results, {}))


def mirror_of(mirror: str | Path | None, name: str) -> Path | None:
    """The mirror of one of several comparisons; None if there is none.

    Raises:
        InputError: if it is an address, not a folder.
    """
    return None if mirror is None else local_path(mirror, "mirror") / name


def kinds_of(results: Mapping[str, Result]) -> dict[str, dict[str, str]]:
    """The kind of each variant's verdict, by variant, and by network and data set."""
    kinds: dict[str, dict[str, str]] = {}
    for where, result in results.items():
        for row in result.table.rows:
            if row.verdict:
                kinds.setdefault(row.variant.name, {})[where] = row.verdict.kind
    return kinds


def transfers(kinds: Kinds) -> str:
    """Whether a variant's verdict is the same everywhere, in words."""
    count = len(kinds)
    waiting = [where for where, kind in kinds.items() if kind in ("provisional", "none")]
    if waiting:
        return f"is not judged everywhere yet ({', '.join(waiting)})"
    if not DECIDED & set(kinds.values()):
        return f"is conclusive in none of {count}"
    if len(set(kinds.values())) == 1:
        return f"transfers: {_phrase(next(iter(kinds.values())))} in all {count}"
    parts = []
    for kind in ("helps", "hurts", "equivalent", "cannot tell"):
        places = [where for where, one in kinds.items() if one == kind]
        if places:
            parts.append(f"{_phrase(kind)} in {len(places)} of {count} ({', '.join(places)})")
    contradicts = len(set(kinds.values()) - {"cannot tell"}) > 1
    return f"{'does not transfer' if contradicts else 'is not shown to transfer'}: {'; '.join(parts)}"


def _phrase(kind):
    return {"equivalent": "has no effect", "cannot tell": "is inconclusive"}.get(kind, kind)
