"""Lists the data sets: what they hold, and whether they are on this machine; and what the cache holds.

jaxattn data
"""

import json
import os
from pathlib import Path
from typing import Any

from jaxattn.cli.columns import columns
from jaxattn.cli.command import run_command
from jaxattn.cli.parser import Parser
from jaxattn.config import Config
from jaxattn.data import DATASETS, cache
from jaxattn.paths import local_path, readable

HEADER = ("name", "classes", "train + test", "size", "where")


def parser() -> Parser:
    """The command line of `jaxattn data`."""
    parser = Parser(
        prog="jaxattn data",
        description="List the data sets, and what the cache of read images holds. Besides these, --dataset takes "
        "folder:DIR with images of your own and package.module:NAME.",
    )
    parser.add_argument(
        "--data-dir", metavar="DIR", default=Config.data_dir, help="folder of data sets (default: %(default)s)"
    )
    parser.add_argument("--clear-cache", action="store_true", help="delete all images that the cache holds")
    parser.add_argument("--json", action="store_true", help="a JSON object")
    return parser


def main(arguments: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: if the command line cannot be used.
    """
    flags = parser().parse_args(arguments)
    rows = [_row(name, local_path(flags.data_dir, "data_dir")) for name in DATASETS]
    if flags.clear_cache:
        deleted = cache.clear()
    entries = cache.entries()
    total = sum(entry.size for entry in entries)
    if flags.json:
        contents = [{"name": entry.spec.name, "bytes": entry.size, "path": str(entry.path)} for entry in entries]
        print(json.dumps({"datasets": rows, "cache": contents, "limit": cache.limit()}, indent=1))
        return
    _print(rows)
    if flags.clear_cache:
        print(f"deleted from the cache: {deleted}")
    names = ", ".join(f"{entry.spec.name} {entry.size / 1e9:.2f} GB" for entry in entries) or "nothing"
    try:
        where = f"in {cache.folder()}"
    except RuntimeError as error:
        where = f"but nothing is kept: {error}"
    print(f"cache: {names}; {total / 1e9:.2f} of {cache.limit() / 1e9:g} GB ({cache.LIMIT}) {where}")


def _row(name: str, data_dir: Path) -> dict[str, Any]:
    dataset = DATASETS[name]
    with readable(data_dir, "data_dir"):
        path = dataset.find(data_dir)
    facts = dataset.spec.to_json() if dataset.spec else {}
    return {
        **{key: facts.get(key) for key in ("name", "train", "test", "image_shape", "source")},
        "classes": len(facts.get("classes", ())),
        "path": None if path is None else os.fspath(path),
        "origin": dataset.origin,
    }


def _print(rows: list[dict[str, Any]]) -> None:
    lines = [HEADER]
    for row in rows:
        size = "x".join(map(str, row["image_shape"][:2]))
        images = f"{row['train']:,} + {row['test']:,}"
        where = row["path"] or row["origin"]
        lines.append((row["name"], str(row["classes"]), images, size, where))
    print(columns(lines))


if __name__ == "__main__":
    run_command(main)
