"""The folder of an export: writes its files, and overwrites nothing else."""

import importlib
import os
from pathlib import Path

from jaxattn.errors import InputError, lookup
from jaxattn.exports import FORMATS, Format
from jaxattn.paths import local_path
from jaxattn.runs.leftovers import is_empty
from jaxattn.runs.run import Run


def check_format(to: str) -> Format:
    """The format with a name, if its package is installed.

    Raises:
        InputError: if it is not known, or needs a package that is not there.
    """
    form = lookup("format", to, FORMATS)
    try:
        importlib.import_module(form.package)
    except ImportError as error:
        raise InputError(f"an export to {to} needs {form.package}: pip install {form.package}") from error
    return form


def export(run: Run, to: str, out: str | Path | None = None) -> list[Path]:
    """Exports the network of a run with its weights.

    Args:
        run: from `load_run`.
        to: one of `FORMATS`.
        out: the target: a new or empty folder, or that of an earlier export to the same format, which is replaced; by
            default `export-<format>` in the run folder.

    Returns:
        The files that were written; the first holds the weights.

    Raises:
        InputError: if the run cannot be exported to this format, or the folder holds something else or
            cannot be written. Nothing is written then.
    """
    form = check_format(to)
    contents = importlib.import_module(f"jaxattn.exports.{to}").contents(run, run.image_shape)
    path = local_path(out, "out") if out is not None else run.folder / f"export-{to}"
    _write(path, form, contents)
    return [path / name for name in contents]


def _write(folder: Path, form: Format, contents: dict[str, bytes]) -> None:
    """Writes the files, each atomically.

    Raises:
        InputError: if the folder holds something else, or cannot be written.
    """
    try:
        if folder.exists() and not (folder.is_dir() and ((folder / form.file).exists() or is_empty(folder))):
            raise InputError(f"{folder} is not empty and holds no {form.file}; choose an empty or a new folder", "out")
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            draft = folder / f"{name}.part"
            draft.write_bytes(content)
            os.replace(draft, folder / name)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}; choose another folder", "out") from error
