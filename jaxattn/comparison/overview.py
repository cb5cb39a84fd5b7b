"""A page on several comparisons of the same variants: every verdict, with links to the comparisons."""

import importlib.resources
from collections.abc import Mapping
from pathlib import Path

from jaxattn import __version__
from jaxattn.comparison.result import Result
from jaxattn.comparison.table import Row
from jaxattn.errors import InputError
from jaxattn.runs.store import write_text
from jaxattn.templates import pages


def write_overview(
    path: Path, title: str, sentences: Mapping[str, str], note: str, results: Mapping[str, Result],
    names: Mapping[str, Mapping[str, str]],
) -> Path:  # fmt: skip
    """Writes the page.

    Args:
        path: path of the page, in a folder that holds the folders of all comparisons.
        title: title of the page.
        sentences: a sentence on each variant, by its name.
        note: how to read the page.
        results: the comparisons, by name.
        names: by comparison, maps names of its variants to their names on this page; those not listed stay the same.

    Returns:
        The path.

    Raises:
        InputError: if it cannot be written.
    """

    def rows(where: str, result: Result) -> dict[str, Row]:
        called = names.get(where, {})
        return {called.get(row.variant.name, row.variant.name): row for row in result.table.rows}

    places = {
        where: (result.page.relative_to(path.parent).as_posix() if result.page else "", rows(where, result))
        for where, result in results.items()
    }
    css = (importlib.resources.files("jaxattn.report") / "templates" / "report.css").read_text("utf-8")
    values = {"title": title, "note": note, "sentences": sentences, "places": places, "css": css}
    template = pages("jaxattn.comparison").get_template("overview.html")
    try:
        write_text(path, template.render(**values, version=__version__))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another folder", "out") from error
    return path
