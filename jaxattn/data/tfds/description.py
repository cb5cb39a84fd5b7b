"""The description in a prepared TFDS folder, checked before TFDS uses it: TFDS imports the classes it names."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxattn.errors import InputError
from jaxattn.limits import TEXT, read_bytes, read_json

PARTS = ("train", "test")
MAX_EXAMPLES = 200_000  # of a split; the published ones have 50,000 and 10,000
_MAX_SHARDS, _MAX_NAME, _MAX_CLASSES = 10_000, 200, 10_000
_FORMATS = ("", "array_record", "tfrecord")  # "": the data set is older than the field
_CLASSES = "tensorflow_datasets.core.features."
_TEMPLATE = re.compile(r"(\{[A-Z_]+\}|[\w./-])*")  # of file names; TFDS formats it, so it must not state a width


class Description(NamedTuple):
    """What a folder states about its data set.

    Attributes:
        name: of the data set.
        features: of an example, as TFDS has them, by name.
        shards: for each part, the number of records in each file.
    """

    name: str
    features: Any
    shards: dict[str, dict[Path, int]]


def read(folder: Path) -> Description:
    """The description of the data set in a prepared TFDS folder.

    Raises:
        InputError: if it is missing or damaged, is from an unknown version of TFDS, or is of a data set without images,
            labels, or one of the splits.
    """
    try:
        values = [read_json(folder / name) for name in ("dataset_info.json", "features.json")]
        for path in folder.glob("*.txt"):  # names of classes
            read_bytes(path, TEXT)
    except (OSError, ValueError) as error:
        raise damaged(folder, error) from error
    import tensorflow_datasets as tfds

    try:
        _check(values)
        info = tfds.builder_from_directory(str(folder)).info
        known = {*info.splits, *info.features}
    except Exception as error:  # valid JSON that is not understood
        raise _unknown(folder, error, tfds.__version__) from error
    lacking = [name for name in (*PARTS, "image", "label") if name not in known]
    if lacking:
        raise InputError(f"{folder} must hold the splits train and test of images with a label, it lacks "
                         f"{', '.join(lacking)}; it is another data set, choose another folder")  # fmt: skip
    return Description(info.name, info.features, {part: _shards(folder, info.splits[part]) for part in PARTS})


def _check(values: list[Any]) -> None:
    """Checks what TFDS would do with these values.

    Raises:
        Exception: of many types, if that is not known here.
    """
    from google.protobuf import json_format
    from tensorflow_datasets.core.proto import dataset_info_pb2

    for name in _class_names(values):
        if not isinstance(name, str) or not name.startswith(_CLASSES):
            raise ValueError(f"features must be of {_CLASSES}*, found {name!r:.80}")
    info = json_format.ParseDict(values[0], dataset_info_pb2.DatasetInfo())
    if info.file_format not in _FORMATS:
        raise ValueError(f"files must be array_record or tfrecord, found {info.file_format!r:.40}")
    for split in info.splits:
        if not _TEMPLATE.fullmatch(split.filepath_template):
            raise ValueError(f"files are named in a way that is not known here, {split.filepath_template!r:.80}")
        if max(map(len, (info.name, split.name, split.filepath_template))) > _MAX_NAME:
            raise ValueError(f"a name is longer than {_MAX_NAME} characters")
        if len(split.shard_lengths) > _MAX_SHARDS or sum(split.shard_lengths) > MAX_EXAMPLES:
            raise ValueError(f"a split has more than {MAX_EXAMPLES:,} examples or {_MAX_SHARDS:,} files")


def _class_names(value: Any) -> Iterator[Any]:
    """All names of classes, under any key that TFDS has used for them."""
    if isinstance(value, dict):
        yield from (value[key] for key in ("pythonClassName", "python_class_name", "type") if key in value)
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _class_names(part)


def _shards(folder: Path, split: Any) -> dict[Path, int]:
    """The number of records in each file.

    Raises:
        InputError: if a file is outside the folder.
    """
    try:
        shards = dict(zip(map(Path, split.filepaths), split.shard_lengths, strict=True))
    except Exception as error:  # of TFDS's code
        raise damaged(folder, error) from error
    for path in shards:
        if not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(folder)):
            raise InputError(f"the files of {folder} must lie in it, {path} does not; choose another folder")
    return shards


def damaged(path: Path, reason: str | Exception) -> InputError:
    """The error for data that is incomplete or corrupt, which another copy replaces."""
    return InputError(f"the TFDS data set at {path} is incomplete or corrupt: {_text(reason)}; "
                      "delete the folder and retry")  # fmt: skip


def _unknown(folder: Path, reason: Exception, version: str) -> InputError:
    return InputError(f"the TFDS data set at {folder} was prepared by a version of TFDS that {version} does not "
                      f"understand: {_text(reason)}; install a newer tensorflow-datasets, or choose another "
                      "folder")  # fmt: skip


def _text(reason: str | Exception) -> str:
    text = f"{type(reason).__name__}: {reason}" if isinstance(reason, Exception) else reason
    return " ".join(text.split())[:200]
