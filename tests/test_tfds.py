"""TFDS folders: complete, damaged, of another version and hostile."""

import json
import shutil
import sys

import numpy as np
import pytest
from cifar10_files import (  # noqa: F401 (a fixture)
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    assert_refused,
    assert_whole,
    load,
    no_server,
    serialized,
    write_binary,
    write_records,
    write_tfds,
)
from tensorflow_datasets.proto import tf_example_pb2

from jaxattn.data import tfds
from jaxattn.errors import InputError


def test_path_may_be_that_of_the_tfds_data_set(tmp_path):
    assert_whole(load(write_tfds(tmp_path).parent))


def test_where_a_package_is_missing_the_message_names_it(tmp_path, monkeypatch):
    folder = write_tfds(tmp_path)
    monkeypatch.setitem(sys.modules, "array_record.python", None)
    with pytest.raises(InputError, match="needs the package array_record, which is not installed; give the original"):
        load(folder)


def test_newest_prepared_version_is_read(tmp_path):
    old = write_tfds(tmp_path, version="3.0.2")
    shutil.copytree(old, tmp_path / "cifar10" / "3.0.10")
    assert tfds.find(tmp_path, "cifar10") == tmp_path / "cifar10" / "3.0.10"


def test_order_of_records_is_kept_where_they_have_no_id(tmp_path):
    folder = write_tfds(tmp_path)
    features = json.loads((folder / "features.json").read_text())
    del features["featuresDict"]["features"]["id"]
    (folder / "features.json").write_text(json.dumps(features))
    order = np.random.default_rng(1).permutation(len(TEST_LABELS))
    np.testing.assert_array_equal(load(tmp_path).test.images, TEST_IMAGES[order])


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
        load(tmp_path)
    message = str(caught.value)
    assert str(folder) in message and "delete" not in message and "corrupt" not in message, message
    assert f"by a version of TFDS that {tensorflow_datasets.__version__} does not understand" in message
    assert message.endswith("install a newer tensorflow-datasets, or choose another folder")


@pytest.mark.parametrize("change", [lose_split, rename_image, have_other_classes])
def test_tfds_folder_of_another_data_set_is_not_called_corrupt(tmp_path, change):
    change(write_tfds(tmp_path))
    with pytest.raises(InputError, match=r"must hold the (images|splits).* choose another folder") as caught:
        load(tmp_path)
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
