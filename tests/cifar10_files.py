"""CIFAR-10 as it comes: small archives and folders of random images in every form, and a check of what is loaded."""

import dataclasses
import io
import json
import pickle
import shutil
import struct
import tarfile

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2

from jaxattn.data import DATASETS, cifar, cifar10
from jaxattn.data.download import Remote
from jaxattn.errors import InputError, UnavailableError

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
LENGTHS = {"data_batch_1": 4, "data_batch_2": 1, "data_batch_3": 6, "data_batch_4": 3, "data_batch_5": 5}
LENGTHS["test_batch"] = 7
_RNG = np.random.default_rng(0)
# {batch: (images [n, 32, 32, 3], labels [n])}
TRUTH = {
    name: (_RNG.integers(0, 256, (count, 32, 32, 3), np.uint8), _RNG.integers(0, 10, count))
    for name, count in LENGTHS.items()
}
TRAIN_IMAGES = np.concatenate([TRUTH[f"data_batch_{number}"][0] for number in range(1, 6)])
TRAIN_LABELS = np.concatenate([TRUTH[f"data_batch_{number}"][1] for number in range(1, 6)])
TEST_IMAGES, TEST_LABELS = TRUTH["test_batch"]


def planes(images):
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)


def python2_batch(images, labels):
    """The batch as Python 2 and its NumPy pickled it, opcode by opcode."""

    def text(value):
        return b"T" + struct.pack("<i", len(value)) + value

    def integer(value):
        return b"J" + struct.pack("<i", value)

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(" + integer(0) + b"t" + text(b"b") + b"\x87R("
        b"" + integer(1) + b"(" + integer(len(images)) + integer(3072) + b"tcnumpy\ndtype\n(" + text(b"u1") + integer(0)
        + integer(1) + b"tR(" + integer(3) + text(b"|") + b"NNN" + integer(-1) + integer(-1) + integer(0)
        + b"tbI00\n" + text(planes(images).tobytes()) + b"tb"
    )  # fmt: skip
    numbers = b"](" + b"".join(integer(int(label)) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + b"u."


def pickled_batch(images, labels, protocol):
    return pickle.dumps({b"data": planes(images), b"labels": labels.tolist(), b"batch_label": b"x"}, protocol)


def write_python(root, write=lambda images, labels: pickled_batch(images, labels, 3)):
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for name, batch in TRUTH.items():
        (folder / name).write_bytes(write(*batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": NAMES}))
    return folder


def write_binary(root):
    folder = root / "cifar-10-batches-bin"
    folder.mkdir()
    for name, (images, labels) in TRUTH.items():
        rows = np.concatenate([labels[:, None].astype(np.uint8), planes(images)], 1)
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(NAMES))
    return folder


def pack(folder):
    """The folder as the archive it comes from; the folder itself is removed."""
    kind = {"py": "python", "bin": "binary"}[folder.name.rpartition("-")[2]]
    path = folder.with_name(f"cifar-10-{kind}.tar.gz")
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, folder.name)
    shutil.rmtree(folder)
    return path


def png_file(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def serialized(part, index, image, label):
    example = tf_example_pb2.Example()
    example.features.feature["id"].bytes_list.value.append(f"{part}_{index:05d}".encode())
    example.features.feature["image"].bytes_list.value.append(png_file(image))
    example.features.feature["label"].int64_list.value.append(int(label))
    return example.SerializeToString()


def write_records(path, records):
    if "tfrecord" in path.name:
        frames = [struct.pack("<QI", len(record), 0) + record + struct.pack("<I", 0) for record in records]
        path.write_bytes(b"".join(frames))
    else:
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for record in records:
            writer.write(record)
        writer.close()


def write_tfds(root, file_format="array_record", side=32, version="3.0.2"):
    """A folder as TFDS prepares it: examples shuffled, train in two shards, and files that describe it."""
    folder = root / "cifar10" / version
    folder.mkdir(parents=True)
    splits = []
    for part, images, labels, shards in (
        ("train", TRAIN_IMAGES, TRAIN_LABELS, 2),
        ("test", TEST_IMAGES, TEST_LABELS, 1),
    ):
        order = np.random.default_rng(1).permutation(len(labels))
        pieces = np.array_split(order, shards)
        for number, piece in enumerate(pieces):
            records = [serialized(part, index, images[index][:side, :side], labels[index]) for index in piece]
            write_records(folder / f"cifar10-{part}.{file_format}-{number:05d}-of-{shards:05d}", records)
        template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        splits.append({"filepathTemplate": template, "name": part, "shardLengths": [str(len(p)) for p in pieces]})
    info = {"fileFormat": file_format, "moduleName": "x", "name": "cifar10", "splits": splits, "version": version}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    prefix = "tensorflow_datasets.core.features"
    shape = {"dimensions": [str(side), str(side), "3"]}
    features = {
        "id": {"pythonClassName": f"{prefix}.text_feature.Text", "text": {}},
        "image": {
            "pythonClassName": f"{prefix}.image_feature.Image",
            "image": {"dtype": "uint8", "shape": shape},
        },
        "label": {
            "pythonClassName": f"{prefix}.class_label_feature.ClassLabel",
            "classLabel": {"numClasses": "10"},
        },
    }
    described = {"pythonClassName": f"{prefix}.features_dict.FeaturesDict", "featuresDict": {"features": features}}
    (folder / "features.json").write_text(json.dumps(described))
    (folder / "label.labels.txt").write_text("\n".join(NAMES) + "\n")
    return folder


SOURCES = {
    "array_record": write_tfds,
    "tfrecord": lambda root: write_tfds(root, "tfrecord"),
    "python folder": write_python,
    "binary folder": write_binary,
    "python archive": lambda root: pack(write_python(root)),
    "binary archive": lambda root: pack(write_binary(root)),
}


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    """No test reaches the network: the archive is said to lie where nobody listens."""
    monkeypatch.setenv("no_proxy", "*")
    published_at(monkeypatch, Remote("http://127.0.0.1:9/cifar.tar.gz", 1, "0", connect=5))


def published_at(monkeypatch, remote):
    """The archive lies there from now on."""
    dataset = cifar.dataset(dataclasses.replace(cifar10.PUBLISHED, remote=remote))
    monkeypatch.setattr(cifar10, "DATASET", dataset)
    monkeypatch.setitem(DATASETS, "cifar10", dataset)


def load(data_dir):
    return cifar10.DATASET.load(data_dir)


def assert_whole(splits):
    np.testing.assert_array_equal(splits.train.images, TRAIN_IMAGES)
    np.testing.assert_array_equal(splits.train.labels, TRAIN_LABELS)
    np.testing.assert_array_equal(splits.test.images, TEST_IMAGES)
    np.testing.assert_array_equal(splits.test.labels, TEST_LABELS)
    assert (splits.spec.name, splits.classes) == ("cifar10", tuple(NAMES))


def assert_refused(data_dir, *words):
    """One line, with these words in it, that is not mistaken for "no data here"; and nothing is prepared from it."""
    with pytest.raises(InputError) as caught:
        load(data_dir)
    assert not isinstance(caught.value, UnavailableError)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message
