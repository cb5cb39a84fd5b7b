"""Writes TFDS folders without TensorFlow, for tests that read them."""

import os
import shutil
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxattn.data import png
from jaxattn.data.splits import Splits

SUB = 1  # PNG's filter type 1: every byte is stored as its difference from the pixel to its left


def encode(images: UInt8[np.ndarray, "N H W 3"]) -> list[bytes]:
    """PNG files of images [N, H, W, 3], filtered but not compressed: record files compress their content themselves."""
    count, height, width, _ = images.shape
    rows = np.full((count, height, 1 + 3 * width), SUB, np.uint8)
    differences = images.copy()
    differences[:, :, 1:] -= images[:, :, :-1]
    rows[:, :, 1:] = differences.reshape(count, height, 3 * width)
    return [png._png(height, width, image.tobytes()) for image in rows]


def write(folder: Path, splits: Splits) -> None:
    """Writes a TFDS folder of array_record files, atomically.

    Args:
        folder: `.../<name>/<version>`, which must not exist yet.
        splits: the data set; `id` becomes `train_00000`, `train_00001`, ...

    Raises:
        OSError, RuntimeError: if the folder cannot be written.
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
    for part in ("train", "test"):
        split = getattr(splits, part)
        path = draft / f"{splits.spec.name}-{part}.array_record-00000-of-00001"
        # One record per group, as TFDS itself writes: fast to read in any order.
        writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
        total = 0
        for index, (file, label) in enumerate(zip(encode(split.images), split.labels.tolist(), strict=True)):
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
