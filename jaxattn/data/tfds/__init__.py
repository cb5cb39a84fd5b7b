"""Prepared TFDS folders, read without TensorFlow."""

import contextlib
import re
from pathlib import Path

import numpy as np

from jaxattn.data import png
from jaxattn.data.spec import Spec
from jaxattn.data.splits import Split, Splits
from jaxattn.data.tfds import description, records
from jaxattn.data.tfds.description import damaged
from jaxattn.errors import InputError

_VERSION = re.compile(r"\d+\.\d+\.\d+")


def find(data_dir: Path, name: str) -> Path | None:
    """The folder of the newest prepared version of data set `name`, or None.

    Args:
        data_dir: the folder of all TFDS data sets, of this one, or of one of its versions.
        name: the data set's name in TFDS.
    """
    is_version = _VERSION.fullmatch(data_dir.name) and data_dir.parent.name == name
    if data_dir.is_dir() and (is_version or (data_dir / "dataset_info.json").exists()):
        return data_dir
    for root in (data_dir / name, data_dir) if data_dir.name == name else (data_dir / name,):
        versions = [path for path in root.glob("*") if path.is_dir() and _VERSION.fullmatch(path.name)]
        if versions:
            return max(versions, key=lambda path: [int(number) for number in path.name.split(".")])
    return None


def is_prepared(path: Path) -> bool:
    """Whether a path is the prepared folder of a data set's version."""
    return (path / "dataset_info.json").exists()


def import_all(folder: Path) -> None:
    """Imports everything that `read` imports for a prepared TFDS folder."""
    from array_record.python import array_record_module  # noqa: F401
    from tensorflow_datasets.proto import tf_example_pb2  # noqa: F401

    with contextlib.suppress(InputError):  # `read` raises it, too
        description.read(folder)


def read(folder: Path, spec: Spec) -> Splits:
    """The data set in a prepared TFDS folder, with record files of either format (array_record, tfrecord).

    Examples are sorted by their `id`, if they have one, so their order does not depend on who prepared them.

    Args:
        folder: the folder of one version, which contains `dataset_info.json`.
        spec: the shape of images and the names of classes that it must have.

    Raises:
        InputError: if files are missing or damaged, or hold other images.
    """
    name, features, shards = description.read(folder)
    try:
        image, label = features["image"], features["label"]
        shape, dtype, count = tuple(image.shape), image.np_dtype, label.num_classes
        names = tuple(label.names) if count == len(spec.classes) else ()  # it may state any number
    except Exception:  # they may be features of any class
        shape, dtype, count, names = (), "another type", 0, ()
    height, width, _ = spec.image_shape
    if shape not in (spec.image_shape, (None, None, 3)) or dtype != np.uint8 or names != spec.classes:
        raise InputError(
            f"{folder} must hold the images of {spec.name}, {height}x{width}x3 bytes in {len(spec.classes)} classes "
            f"({', '.join(spec.classes[:3])}, ...), found {name!r} with images of {list(shape)} {dtype} in {count} "
            f"classes ({', '.join(map(str, names[:3]))}); choose another folder"
        )
    parts = {part: _read_split(folder, files, (height, width), "id" in features) for part, files in shards.items()}
    try:
        return Splits(spec, parts["train"], parts["test"])
    except InputError as error:
        raise damaged(folder, error) from error


def _read_split(folder: Path, shards: dict[Path, int], size: tuple[int, int], has_id: bool) -> Split:
    from tensorflow_datasets.proto import tf_example_pb2

    examples, left = [], records.MAX_BYTES
    for path, length in shards.items():
        try:
            contents = records.read(path, left)
            left -= sum(map(len, contents))
            for record in contents:
                feature = tf_example_pb2.Example.FromString(record).features.feature
                key = feature["id"].bytes_list.value[0] if has_id else b""
                examples.append((key, feature["image"].bytes_list.value[0], feature["label"].int64_list.value[0]))
        except InputError:  # they cannot be read here
            raise
        except Exception as error:
            raise damaged(path, error) from error
        if len(contents) != length:
            raise damaged(path, f"it must hold {length} records and holds {len(contents)}")
    if not examples:
        raise damaged(folder, "it has an empty split")
    examples.sort(key=lambda example: example[0])
    _, files, labels = zip(*examples, strict=True)
    try:
        return Split(png.decode(files, *size), np.array(labels, np.int32))
    except Exception as error:
        raise damaged(folder, error) from error
