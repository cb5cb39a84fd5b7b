"""CIFAR-10 from every source, complete, damaged and hostile: small archives and folders of random images."""

import concurrent.futures
import hashlib
import http.server
import io
import json
import logging
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import threading
import time

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2

from jaxattn.data import DATASETS, cifar10, png, tfds
from jaxattn.data.cifar10 import archives
from jaxattn.data.download import Remote
from jaxattn.errors import InputError, UnavailableError
from jaxattn.lock import FILE as LOCK

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
    monkeypatch.setattr(cifar10, "ARCHIVE", Remote("http://127.0.0.1:9/cifar.tar.gz", 1, "0", connect=5))


def assert_whole(splits):
    np.testing.assert_array_equal(splits.train.images, TRAIN_IMAGES)
    np.testing.assert_array_equal(splits.train.labels, TRAIN_LABELS)
    np.testing.assert_array_equal(splits.test.images, TEST_IMAGES)
    np.testing.assert_array_equal(splits.test.labels, TEST_LABELS)
    assert (splits.name, splits.classes) == ("cifar10", tuple(NAMES))


def assert_refused(data_dir, *words):
    """One line, with these words in it, that is not mistaken for "no data here"; and nothing is prepared from it."""
    with pytest.raises(InputError) as caught:
        cifar10.load(data_dir)
    assert not isinstance(caught.value, UnavailableError)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


# Every form, whole.


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same_images_in_the_same_order(tmp_path, source):
    SOURCES[source](tmp_path)
    splits = DATASETS["cifar10"](tmp_path)
    assert_whole(splits)
    sha = hashlib.sha256()
    for images, labels in ((TRAIN_IMAGES, TRAIN_LABELS), (TEST_IMAGES, TEST_LABELS)):
        sha.update(images.tobytes() + labels.astype("<i4").tobytes())
    assert splits.digest() == sha.hexdigest()


@pytest.mark.parametrize("source", SOURCES)
def test_path_may_be_that_of_the_source_itself(tmp_path, source):
    assert_whole(cifar10.load(SOURCES[source](tmp_path)))


def test_path_may_be_that_of_the_tfds_data_set(tmp_path):
    assert_whole(cifar10.load(write_tfds(tmp_path).parent))


def test_newest_prepared_version_is_read(tmp_path):
    old = write_tfds(tmp_path, version="3.0.2")
    shutil.copytree(old, tmp_path / "cifar10" / "3.0.10")
    assert tfds.find(tmp_path, "cifar10") == tmp_path / "cifar10" / "3.0.10"


@pytest.mark.parametrize("protocol", ["python 2", 2, 3, 4, 5])
def test_batches_pickled_by_any_python_are_read(tmp_path, protocol):
    write = python2_batch if protocol == "python 2" else lambda *batch: pickled_batch(*batch, protocol)
    if protocol == "python 2":  # that it is what Python 2 wrote: the plain unpickler reads it
        plain = pickle.loads(python2_batch(*TRUTH["test_batch"]), encoding="bytes")
        np.testing.assert_array_equal(plain[b"data"], planes(TEST_IMAGES))
    assert_whole(archives.read(write_python(tmp_path, write)))


def test_keys_may_be_text_and_arrays_in_column_order(tmp_path):
    def write(images, labels):
        return pickle.dumps({"data": np.asfortranarray(planes(images)), "labels": labels.astype(np.uint8)}, protocol=4)

    assert_whole(archives.read(write_python(tmp_path, write)))


def test_order_of_records_is_kept_where_they_have_no_id(tmp_path):
    folder = write_tfds(tmp_path)
    features = json.loads((folder / "features.json").read_text())
    del features["featuresDict"]["features"]["id"]
    (folder / "features.json").write_text(json.dumps(features))
    order = np.random.default_rng(1).permutation(len(TEST_LABELS))
    np.testing.assert_array_equal(cifar10.load(tmp_path).test.images, TEST_IMAGES[order])


# Prepared once.


def test_archive_is_prepared_once_and_read_back(tmp_path, caplog):
    caplog.set_level(logging.INFO, "jaxattn")
    source = pack(write_binary(tmp_path))
    first = cifar10.load(tmp_path)
    notices = [record.getMessage() for record in caplog.records if record.name == "jaxattn"]
    assert len(notices) == 1 and str(source) in notices[0] and str(tmp_path / "cifar10" / "3.0.2") in notices[0]
    assert [path.name for path in (tmp_path / "cifar10").iterdir()] == ["3.0.2"]
    caplog.clear()
    source.unlink()
    second = cifar10.load(tmp_path)
    assert_whole(second)
    assert first.digest() == second.digest()
    assert not [record for record in caplog.records if record.name == "jaxattn"]


def test_two_runs_that_start_together_prepare_it_once(tmp_path, monkeypatch):
    SOURCES["binary archive"](tmp_path)
    read, reads = archives.read, []

    def slow(source):
        reads.append(source)
        time.sleep(0.3)
        return read(source)

    monkeypatch.setattr(archives, "read", slow)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for splits in pool.map(cifar10.load, [tmp_path] * 3):
            assert_whole(splits)
    assert len(reads) == 1


def test_tfds_itself_reads_what_was_prepared(tmp_path):
    import tensorflow_datasets as tfds

    write_binary(tmp_path)
    cifar10.load(tmp_path)
    by_name = tfds.data_source("cifar10", data_dir=str(tmp_path), split="train", download=False)
    by_folder = tfds.builder_from_directory(str(tmp_path / "cifar10" / "3.0.2")).as_data_source("test")
    for source, images, labels in ((by_name, TRAIN_IMAGES, TRAIN_LABELS), (by_folder, TEST_IMAGES, TEST_LABELS)):
        np.testing.assert_array_equal([example["image"] for example in source], images)
        assert [example["label"] for example in source] == labels.tolist()
    assert by_name[3]["id"] == b"train_00003"
    assert "tensorflow" not in sys.modules


def test_folder_that_cannot_be_written_costs_one_warning(tmp_path, monkeypatch, caplog):
    def refuse(*_, **__):
        raise PermissionError("Read-only file system")

    write_binary(tmp_path)
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    assert_whole(cifar10.load(tmp_path))
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1 and "Read-only file system" in warnings[0]


def test_preparing_that_is_killed_leaves_no_data_that_is_read(tmp_path, monkeypatch):
    write_binary(tmp_path)
    with monkeypatch.context() as killing:
        killing.setattr(shutil, "rmtree", lambda *_, **__: None)  # as when the process is killed: no time to clean up

        def kill(*_):
            raise KeyboardInterrupt

        killing.setattr("pathlib.Path.rename", kill)
        with pytest.raises(KeyboardInterrupt):
            cifar10.load(tmp_path)
    assert list((tmp_path / "cifar10").glob("*/*.array_record*"))  # a whole draft lies there
    assert tfds.find(tmp_path, "cifar10") is None
    assert_whole(cifar10.load(tmp_path))
    assert_whole(cifar10.load(tmp_path))


def test_preparing_that_is_interrupted_cleans_up(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    write_binary(tmp_path)
    monkeypatch.setattr("pathlib.Path.rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cifar10.load(tmp_path)
    assert list((tmp_path / "cifar10").iterdir()) == []


# Nothing there.


def test_missing_archive_is_downloaded_and_prepared(tmp_path, monkeypatch):
    (tmp_path / "served").mkdir()
    content = pack(write_binary(tmp_path / "served")).read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(cifar10, "ARCHIVE", Remote(url, len(content), hashlib.sha256(content).hexdigest()))
        assert_whole(cifar10.load(tmp_path / "new"))
        thread.join()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [LOCK, "cifar-10-binary.tar.gz", "cifar10"]
    assert_whole(cifar10.load(tmp_path / "new"))


def test_without_data_and_network_the_error_says_what_to_do(tmp_path):
    with pytest.raises(UnavailableError) as caught:
        cifar10.load(tmp_path / "new")
    message = str(caught.value)
    assert "\n" not in message and str(tmp_path / "new") in message
    assert "cifar-10-python.tar.gz" in message and "choose the data set shapes" in message
    assert not (tmp_path / "new").exists()


def test_importing_the_data_sets_loads_nothing_heavy():
    heavy = ["jax", "rich", "tensorflow", "tensorflow_datasets", "array_record", "PIL"]
    check = f"import sys, jaxattn.data; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Damaged archives.


class Hostile:
    """Unpickles, where names are trusted, by calling `call` with `arguments`."""

    def __init__(self, call, *arguments):
        self.reduced = call, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickle_that_names_code_is_refused_and_never_runs(tmp_path, protocol):
    folder, ran = write_python(tmp_path), tmp_path / "ran"
    hostile = pickle.dumps({b"data": Hostile(os.mkdir, str(ran)), b"labels": [1]}, protocol)
    (folder / "data_batch_3").write_bytes(hostile)
    assert_refused(tmp_path, "data_batch_3", "mkdir")
    assert not ran.exists()
    pickle.loads(hostile)  # that it would have run
    assert ran.exists()


def test_pickle_that_forges_pointers_with_numpy_is_refused(tmp_path):
    folder = write_python(tmp_path)
    # NumPy makes an array of Python objects from any eight bytes; the first access to one of them crashes.
    forged = pickle.dumps({b"data": Hostile(np.ndarray, (1,), "O", b"12345678"), b"labels": [1]}, 2)
    (folder / "data_batch_1").write_bytes(forged)
    assert_refused(tmp_path, "data_batch_1")


def test_deeply_nested_key_of_a_pickle_is_refused_and_does_not_crash(tmp_path):
    (write_python(tmp_path) / "data_batch_1").write_bytes(b"\x80\x02}(" + b")" + b"\x85" * 900_000 + b"K\x01u.")
    assert_refused(tmp_path, "data_batch_1", "a key is no text")


def test_labels_of_the_other_byte_order_are_the_same_labels(tmp_path):
    def write(images, labels):
        return pickle.dumps({"data": planes(images), "labels": labels.astype(">i2")}, protocol=2)

    assert_whole(archives.read(write_python(tmp_path, write)))


def broken_batch(**change):
    content = {"data": planes(TEST_IMAGES), "labels": TEST_LABELS.tolist(), **change}
    return pickle.dumps({key: value for key, value in content.items() if value is not None}, protocol=3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (broken_batch(labels=[0, 1, 2, 3, 4, 5, 10]), ["0..9", "0..10"]),
        (broken_batch(labels=[0, 1, 2, 3, 4, 5, -1]), ["0..9", "-1..5"]),
        (broken_batch(labels=[1, 2]), ["7 integers", "[2]"]),
        (broken_batch(labels=["cat"] * 7), ["integers"]),
        (broken_batch(labels=None), ["labels"]),
        (broken_batch(data=planes(TEST_IMAGES)[:, 1:]), ["[N, 3072]", "[7, 3071]"]),
        (broken_batch(data=planes(TEST_IMAGES).astype(np.float32)), ["uint8", "float32"]),
        (broken_batch(data=[1, 2]), ["uint8", "int64 [2]"]),
        (broken_batch(data=np.array(7, np.uint8)), ["[N, 3072]", "[]"]),
        (broken_batch(data=np.zeros((0, 3072), np.uint8), labels=[]), ["[N, 3072]", "[0, 3072]"]),
        (broken_batch()[:-100], ["pickled"]),
        (pickle.dumps([1, 2]), ["pickled dict"]),
        (b"not a pickle", ["pickled"]),
        (b"", ["pickled"]),
    ],
)
def test_pickled_batch_with_a_fault_is_refused_by_name(tmp_path, content, words):
    (write_python(tmp_path) / "test_batch").write_bytes(content)
    assert_refused(tmp_path, "test_batch", *words)
    assert not (tmp_path / "cifar10").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [(bytes([10]) + bytes(3072), ["0..9", "10..10"]), (bytes(3072), ["3073 bytes", "3072"]), (b"", ["holds 0"])],
)
def test_binary_batch_with_a_fault_is_refused_by_name(tmp_path, content, words):
    (write_binary(tmp_path) / "data_batch_4.bin").write_bytes(content)
    assert_refused(tmp_path, "data_batch_4.bin", *words)


@pytest.mark.parametrize("write", [write_python, write_binary])
@pytest.mark.parametrize("packed", [False, True])
def test_missing_batch_is_named(tmp_path, write, packed):
    folder = write(tmp_path)
    lost = next(folder.glob("data_batch_5*"))
    lost.unlink()
    if packed:
        pack(folder)
    assert_refused(tmp_path, lost.name, "5 training batches")


@pytest.mark.parametrize("write", [write_python, write_binary])
@pytest.mark.parametrize("fraction", [0, 0.001, 0.3, 0.7, 0.99, 0.9999])
def test_archive_cut_off_anywhere_is_refused(tmp_path, write, fraction):
    path = pack(write(tmp_path))
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    assert_refused(tmp_path, str(path))


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.8])
def test_archive_with_one_bit_flipped_is_refused(tmp_path, fraction):
    path = pack(write_binary(tmp_path))
    content = bytearray(path.read_bytes())
    content[int(fraction * len(content))] ^= 1
    path.write_bytes(content)
    assert_refused(tmp_path, str(path))


def test_foreign_archive_is_refused_and_its_paths_are_not_followed(tmp_path):
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in ("../escaped", "/tmp/escaped", "cifar-10-batches-py/../../data_batch_1"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("cifar-10-batches-py/test_batch")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert_refused(tmp_path, str(path), "lacks data_batch")
    assert {other.name for other in tmp_path.iterdir()} == {path.name, LOCK}


def test_file_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    assert_refused(path, str(path), "of CIFAR-10")


# Damaged TFDS folders.


def lose_shard(folder):
    next(folder.glob("cifar10-train*-00001-of-00002")).unlink()


def cut_shard(folder):
    path = next(folder.glob("cifar10-test*"))
    path.write_bytes(path.read_bytes()[:-5000])


def spoil_shard(folder):
    path = next(folder.glob("cifar10-test*"))
    content = bytearray(path.read_bytes())
    # Into the pixels of an image: TFDS records and PNGs both hold checksums.
    content[content.index(b"IDAT") + 2000 if b"IDAT" in content else len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_record(folder):
    path = next(folder.glob("cifar10-test*"))
    write_records(path, [serialized("test", 0, TEST_IMAGES[0], 1)])


def lose_label(folder):
    path = next(folder.glob("cifar10-test*"))
    write_records(path, [tf_example_pb2.Example().SerializeToString()] * len(TEST_LABELS))


def shrink_images(folder):
    path = next(folder.glob("cifar10-test*"))
    write_records(path, [serialized("test", 0, TEST_IMAGES[0][:16], 1)] * len(TEST_LABELS))


def leave_label_out_of_range(folder):
    path = next(folder.glob("cifar10-test*"))
    write_records(path, [serialized("test", 0, TEST_IMAGES[0], 10)] * len(TEST_LABELS))


def lose_description(folder):
    (folder / "dataset_info.json").unlink()


def spoil_description(folder):
    (folder / "dataset_info.json").write_text("{")


def lose_features(folder):
    (folder / "features.json").unlink()


def rename_image(folder):
    text = (folder / "features.json").read_text()
    (folder / "features.json").write_text(text.replace('"image": {"py', '"picture": {"py'))


def have_other_classes(folder):
    text = (folder / "features.json").read_text()
    (folder / "features.json").write_text(text.replace('"numClasses": "10"', '"numClasses": "3"'))
    (folder / "label.labels.txt").write_text("a\nb\nc\n")


def lose_split(folder):
    info = json.loads((folder / "dataset_info.json").read_text())
    info["splits"].pop()
    (folder / "dataset_info.json").write_text(json.dumps(info))


@pytest.mark.parametrize("file_format", ["array_record", "tfrecord"])
@pytest.mark.parametrize(
    "damage",
    [
        lose_shard,
        cut_shard,
        spoil_shard,
        lose_record,
        lose_label,
        shrink_images,
        leave_label_out_of_range,
        lose_description,
        spoil_description,
        lose_features,
        rename_image,
        have_other_classes,
        lose_split,
    ],
)
def test_damaged_tfds_folder_is_refused_in_one_line(tmp_path, file_format, damage):
    folder = write_tfds(tmp_path, file_format)
    damage(folder)
    write_binary(tmp_path)  # a whole copy beside it does not hide the damage
    assert_refused(tmp_path, str(folder))


def test_tfds_folder_of_images_of_another_size_is_refused(tmp_path):
    assert_refused(write_tfds(tmp_path, side=28), "32x32x3", "[28, 28, 3]")


# TFDS folders of another version, or of another data set: nothing is wrong with them, so nobody is told to delete them.


def with_unknown_field(folder):
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps(info | {"shardDigests": ["0"]}))


def with_unknown_format(folder):
    info = (folder / "dataset_info.json").read_text()
    (folder / "dataset_info.json").write_text(info.replace('"array_record"', '"bagz"'))


def with_unknown_feature(folder):
    text = (folder / "features.json").read_text()
    (folder / "features.json").write_text(text.replace("image_feature.Image", "image_feature.ImageV2"))


def with_unknown_content_of_a_feature(folder):
    text = (folder / "features.json").read_text()
    (folder / "features.json").write_text(text.replace('"dtype": "uint8"', '"dtype": "uint8", "colourSpace": "x"'))


def with_unknown_encoding(folder):
    text = (folder / "features.json").read_text()
    (folder / "features.json").write_text(text.replace('"dtype": "uint8"', '"dtype": "uint8", "encodingFormat": "jxl"'))


@pytest.mark.parametrize(
    "change",
    [
        with_unknown_field,
        with_unknown_format,
        with_unknown_feature,
        with_unknown_content_of_a_feature,
        with_unknown_encoding,
    ],
)
def test_tfds_folder_of_a_newer_version_is_not_called_corrupt(tmp_path, change):
    import tensorflow_datasets

    folder = write_tfds(tmp_path)
    change(folder)
    with pytest.raises(InputError) as caught:
        cifar10.load(tmp_path)
    message = str(caught.value)
    assert str(folder) in message and "delete" not in message and "corrupt" not in message, message
    assert f"by a version of TFDS that {tensorflow_datasets.__version__} does not understand" in message
    assert message.endswith("install a newer tensorflow-datasets, or choose another folder")


@pytest.mark.parametrize("change", [lose_split, rename_image, have_other_classes])
def test_tfds_folder_of_another_data_set_is_not_called_corrupt(tmp_path, change):
    change(write_tfds(tmp_path))
    with pytest.raises(InputError, match="it is another data set, choose another folder") as caught:
        cifar10.load(tmp_path)
    assert "delete" not in str(caught.value)


def test_no_module_that_a_tfds_folder_names_is_imported(tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    folder = write_tfds(tmp_path)
    text = (folder / "features.json").read_text()
    name = "tensorflow_datasets.core.features.text_feature.Text"
    (folder / "features.json").write_text(text.replace(name, "planted.Text"))
    assert_refused(tmp_path, "planted.Text")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("../{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}", ["must lie in it"]),
        ("{DATASET:>1000000000}-{SPLIT}.{FILEFORMAT}", ["named in a way that is not known here"]),
    ],
)
def test_tfds_folder_whose_files_would_lie_elsewhere_or_have_huge_names_is_refused(tmp_path, template, words):
    folder = write_tfds(tmp_path)
    info = json.loads((folder / "dataset_info.json").read_text())
    for split in info["splits"]:
        split["filepathTemplate"] = template
    (folder / "dataset_info.json").write_text(json.dumps(info))
    assert_refused(tmp_path, str(folder), *words)


def test_numbers_that_a_tfds_folder_states_take_no_memory(tmp_path):
    folder = write_tfds(tmp_path)
    text = (folder / "features.json").read_text()
    (folder / "features.json").write_text(text.replace('"numClasses": "10"', f'"numClasses": "{2**40}"'))
    (folder / "label.labels.txt").unlink()
    assert_refused(tmp_path, "in 1099511627776 classes")
    info = json.loads((folder / "dataset_info.json").read_text())
    info["splits"][0]["shardLengths"] = [str(2**40), "1"]
    (folder / "dataset_info.json").write_text(json.dumps(info))
    assert_refused(tmp_path, "more than 200,000 examples")


# PNG.


def filtered(image, kind):
    """A PNG of `image` with filter `kind` on every row, written from the definition of the format, pixel by pixel."""
    rows = image.astype(int).reshape(len(image), -1)
    lines = []
    for number, row in enumerate(rows):
        line = [kind]
        for position, value in enumerate(row):
            left = row[position - 3] if position >= 3 else 0
            above = rows[number - 1][position] if number else 0
            corner = rows[number - 1][position - 3] if number and position >= 3 else 0
            guess = left + above - corner
            nearest = min((left, above, corner), key=lambda near, guess=guess: abs(guess - near))
            line.append((value - [0, left, above, (left + above) // 2, nearest][kind]) % 256)
        lines.append(bytes(int(number) for number in line))
    return png._png(len(rows), image.shape[1], b"".join(lines))


@pytest.mark.parametrize("kind", range(5))
def test_images_decode_whatever_filter_they_were_written_with(kind):
    files = [filtered(image, kind) for image in TEST_IMAGES]
    np.testing.assert_array_equal(png.decode(files, 32, 32), TEST_IMAGES)


def test_encoded_images_are_pngs_that_pillow_reads():
    images = [np.asarray(Image.open(io.BytesIO(file))) for file in png.encode(TEST_IMAGES)]
    np.testing.assert_array_equal(images, TEST_IMAGES)


def test_images_in_other_formats_decode_too():
    palette, jpeg = io.BytesIO(), io.BytesIO()
    flat = np.full((32, 32, 3), 200, np.uint8)
    Image.fromarray(flat).convert("P", palette=Image.Palette.ADAPTIVE).save(palette, "PNG")
    Image.fromarray(flat).save(jpeg, "JPEG", quality=100)
    decoded = png.decode([palette.getvalue(), jpeg.getvalue(), png_file(flat)], 32, 32)
    np.testing.assert_allclose(decoded, np.stack([flat] * 3), atol=2)  # JPEG rounds


@pytest.mark.parametrize("position", [-30, 60])
def test_png_with_one_bit_flipped_is_refused(position):
    file = bytearray(png_file(TEST_IMAGES[0]))
    file[position] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        png.decode([bytes(file)], 32, 32)
