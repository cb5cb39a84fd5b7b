"""Prepared TFDS folders, read and written without TensorFlow."""

import os
import re
import shutil
from pathlib import Path

import numpy as np

from jaxattn.data import png
from jaxattn.data.announce import announce
from jaxattn.data.splits import Split, Splits
from jaxattn.data.tfds import description, records
from jaxattn.data.tfds.description import PARTS, damaged
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


def read(folder: Path, size: int, classes: int) -> Splits:
    """The data set in a prepared TFDS folder, with record files of either format (array_record, tfrecord).

    Examples are sorted by their `id`, where they have one, so their order does not depend on who prepared them.

    Args:
        folder: the folder of one version, which contains `dataset_info.json`.
        size: the height and width that images must have.
        classes: the number of classes that it must have.

    Raises:
        InputError: where files are missing or damaged, or hold other images.
    """
    name, features, shards = description.read(folder)
    try:
        image, label = features["image"], features["label"]
        shape, dtype, count = tuple(image.shape), image.np_dtype, label.num_classes
        names = tuple(label.names) if count == classes else ()  # their number is only stated: it may be any
    except Exception:  # they may be features of any class
        shape, dtype, count, names = (), "another type", 0, ()
    if shape not in ((size, size, 3), (None, None, 3)) or dtype != np.uint8 or len(names) != classes:
        raise InputError(
            f"{folder} must hold images of {size}x{size}x3 bytes in {classes} classes, found shape {list(shape)} of "
            f"{dtype} in {count} classes; it is another data set, choose another folder"
        )
    announce(len(names), (size, size, 3), sum(shards["train"].values()))
    parts = {part: _read_split(folder, files, size, "id" in features) for part, files in shards.items()}
    try:
        return Splits(name, names, parts["train"], parts["test"])
    except InputError as error:
        raise damaged(folder, error) from error


def _read_split(folder: Path, shards: dict[Path, int], size: int, has_id: bool) -> Split:
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
        except Exception as error:
            raise damaged(path, error) from error
        if len(contents) != length:
            raise damaged(path, f"it must hold {length} records and holds {len(contents)}")
    if not examples:
        raise damaged(folder, "it has an empty split")
    examples.sort(key=lambda example: example[0])
    _, files, labels = zip(*examples, strict=True)
    try:
        return Split(png.decode(files, size, size), np.array(labels, np.int32))
    except Exception as error:
        raise damaged(folder, error) from error


def write(folder: Path, splits: Splits) -> None:
    """Writes a TFDS folder of array_record files, completely or not at all.

    Args:
        folder: `.../<name>/<version>`, which must not exist yet.
        splits: the data set; `id` becomes `train_00000`, `train_00001`, ...

    Raises:
        OSError, RuntimeError: where the folder cannot be written.
    """
    draft = folder.with_name(f"incomplete.{os.getpid()}_{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        _write_draft(draft, folder.name, splits)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_draft(draft: Path, version: str, splits: Splits) -> None:
    import tensorflow_datasets as tfds
    from array_record.python import array_record_module
    from tensorflow_datasets.proto import tf_example_pb2

    infos = []
    for part in PARTS:
        split = getattr(splits, part)
        path = draft / f"{splits.name}-{part}.array_record-00000-of-00001"
        # One record per group, as TFDS itself writes: fast to read in any order.
        writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
        total = 0
        for index, (file, label) in enumerate(zip(png.encode(split.images), split.labels.tolist(), strict=True)):
            example = tf_example_pb2.Example()
            feature = example.features.feature
            feature["id"].bytes_list.value.append(f"{part}_{index:05d}".encode())
            feature["image"].bytes_list.value.append(file)
            feature["label"].int64_list.value.append(label)
            record = example.SerializeToString()
            writer.write(record)
            total += len(record)
        writer.close()
        infos.append(tfds.core.SplitInfo(name=part, shard_lengths=[len(split)], num_bytes=total))
    tfds.folder_dataset.write_metadata(
        data_dir=str(draft),
        features={
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=splits.train.images.shape[1:]),
            "label": tfds.features.ClassLabel(names=splits.classes),
        },
        split_infos=infos,
        version=version,
        check_data=False,  # it would read the first example through TensorFlow
        supervised_keys=("image", "label"),
    )
