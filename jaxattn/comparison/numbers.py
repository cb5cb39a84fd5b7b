"""`of_csv`: judges accuracies that other programs measured."""

import re
from pathlib import Path

from jaxattn.cli.parser import attention
from jaxattn.comparison import MARGIN
from jaxattn.comparison.csv_file import read_csv
from jaxattn.comparison.files import write_files
from jaxattn.comparison.page import write_numbers_page
from jaxattn.comparison.result import Result
from jaxattn.comparison.table import attention_of
from jaxattn.comparison.verdict import judge
from jaxattn.errors import InputError
from jaxattn.paths import local_path


def of_csv(
    path: str | Path, planned: int | None = None, baseline: str | None = None, margin: float = MARGIN,
    out: str | Path | None = None,
) -> Result:  # fmt: skip
    """Judges accuracies that other programs measured.

    If all names are those of this package's variants, controls are a family of their own, as in `compare`.

    Args:
        path: a CSV file with columns variant, seed, accuracy (see `read_csv`).
        planned: planned number of seeds; by default, each variant is judged with the seeds that it has.
        baseline: name of a variant; by default the first.
        margin: in points; a smaller difference counts as none.
        out: folder for a page and its figures; None writes nothing.

    Raises:
        InputError: if the file cannot be read as such.
    """
    source = local_path(path)
    folder = None if out is None else local_path(out, "out")
    accuracies = read_csv(source)
    first = next(iter(accuracies), "") if baseline is None else baseline
    looks, modules = () if planned is None else (planned,), _are_modules(accuracies)
    table = judge(accuracies, first, looks, margin=margin, modules=modules)
    ordered = {row.variant.name: accuracies[row.variant.name] for row in table.rows}
    if folder is None:
        return Result(table, None, {})
    if (folder / "compare.json").exists() or (folder / "results.csv").resolve() == source.resolve():
        raise InputError(f"{folder} holds a comparison, or the file itself; choose another folder", "out")
    page = write_numbers_page(folder, source, table, ordered, modules)
    write_files(page.parent, table, ordered)
    return Result(table, page, {})


def _are_modules(names):
    """Whether all names are those of variants: of modules, chains, controls, or modules of the user's own."""
    known = attention()
    bare = [re.sub(r"^wide:(\d+$)?", "", attention_of(name)) for name in names]
    parts = (part for one in bare if one for part in one.split("+"))
    return all(part in known or re.fullmatch(r"[\w.]+:[A-Za-z_]\w*", part) for part in parts)
