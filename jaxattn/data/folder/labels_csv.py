"""`labels.csv`: which image of a folder is of which class, and perhaps of which split."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from jaxattn.errors import InputError
from jaxattn.limits import read_bytes

FILE = "labels.csv"
SPLITS = {  # by their names in any case; also of folders
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
}
MAX_BYTES = 256 << 20
_ADVICE = "its columns must be file, label and, for all files or for none, split (train or test)"


def read_labels(root: Path) -> Iterator[tuple[Path, str, str | None]]:
    """The path, the label and the split (train, test or val) of each image; the split is None if it is to be drawn.

    Args:
        root: the folder of the file, and of all images.

    Raises:
        InputError: if the file or a line cannot be used; the message names the line.
        OSError: if it cannot be read.
    """
    path = root / FILE
    try:
        text = read_bytes(path, MAX_BYTES).decode("utf-8-sig")
        if "\0" in text:  # which neither a path nor JSON may hold
            raise csv.Error("it holds a NUL")
        header = text.partition("\n")[0]
        delimiter = next((sign for sign in ";\t" if sign in header), ",")
        lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        lines.fieldnames = [name.strip().lower() for name in lines.fieldnames or ()]
        missing = [name for name in ("file", "label") if name not in lines.fieldnames]
        if missing:
            raise InputError(f"{path} lacks the column {missing[0]}; {_ADVICE}", "dataset")
        yield from _rows(root, path, lines)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV in UTF-8: {error}; {_ADVICE}", "dataset") from error


def _rows(root: Path, path: Path, lines: csv.DictReader) -> Iterator[tuple[Path, str, str | None]]:
    home, has_split, known = root.resolve(), None, dict[Path, int]()
    for line in lines:
        where = f"{path}, line {lines.line_num}"
        name, label = (line.get("file") or "").strip(), (line.get("label") or "").strip()
        split = (line.get("split") or "").strip().lower()
        if None in line:
            raise InputError(f"{where} has more columns than the header; put quotes around a comma", "dataset")
        if not name or not label:
            raise InputError(
                f"{where}: a file and a label must be given, got {name!r:.80} and {label!r:.80}", "dataset"
            )
        if has_split not in (None, bool(split)) or (split and split not in SPLITS):
            raise InputError(f"{where}: split is {split!r:.80}; {_ADVICE}", "dataset")
        has_split = bool(split)
        file = root / PurePosixPath(name.replace("\\", "/"))
        real = Path(os.path.realpath(file))  # not `resolve`: it raises for links that form a cycle
        if not real.is_relative_to(home):
            raise InputError(f"{where}: {name:.200} is not in {root}; copy it there", "dataset")
        if not file.is_file():
            raise InputError(f"{where}: there is no file {name:.200} in {root}; correct or delete the line", "dataset")
        first = known.setdefault(real, lines.line_num)
        if first != lines.line_num:
            raise InputError(f"{where}: {name:.200} is in line {first}, too; delete one of them", "dataset")
        yield file, label, SPLITS[split] if split else None
