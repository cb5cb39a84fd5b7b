"""Every data set keeps the contract, and is refused in one line where it is damaged, missing or another one."""

import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path

import dataset_files
import numpy as np
import pytest
import tiny
from dataset_files import WRITE, labels, pixels, write_cifar100, write_fashion_mnist, write_svhn

from jaxattn import Config, data, fit, load_run
from jaxattn.data import DATASETS, cifar100, download, fashion_mnist, svhn
from jaxattn.data.splits import Splits
from jaxattn.errors import InputError, UnavailableError
from jaxattn.runs.data import check_trusted_data, read_test

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No test shares a cache or reaches a server."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def nowhere(remote, path):
        raise UnavailableError(f"{remote.url} cannot be downloaded: no network")

    monkeypatch.setattr(download, "fetch", nowhere)


def loaded(name, root):
    WRITE[name](root)
    return data.resolve(name).load(root)


every = pytest.mark.parametrize("name", WRITE)


def test_every_data_set_is_tried_here():
    assert WRITE.keys() >= DATASETS.keys()


@every
def test_what_is_known_before_reading_is_what_is_read(tmp_path, name):
    dataset = data.resolve(name)
    splits = loaded(name, tmp_path / "data")
    assert isinstance(splits, Splits)
    facts = dataclasses.replace(dataset.spec, train=len(splits.train), test=len(splits.test))
    assert splits.spec == facts and splits.train.images.shape[1:] == dataset.spec.image_shape
    assert set(splits.train.labels) <= set(range(len(dataset.spec.classes)))


@every
def test_facts_are_complete_and_survive_json(name):
    spec = data.resolve(name).spec
    assert type(spec).from_json(spec.to_json()) == spec
    assert spec.train > 0 and spec.test > 0 and "\n" not in spec.source


@every
def test_the_same_files_give_the_same_images_again(tmp_path, name):
    first = loaded(name, tmp_path / "data")
    again = data.resolve(name).load(tmp_path / "data")
    assert again.digest() == first.digest() and again.spec == first.spec


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "shapes"])
def test_missing_files_are_looked_for_downloaded_and_named(tmp_path, name):
    root = tmp_path / "new"
    assert data.resolve(name).find(root) is None
    with pytest.raises(UnavailableError, match=f"no {name} in {root}.*, and http.* put .* there, or choose"):
        data.resolve(name).load(root)
    WRITE[name](root)
    assert data.resolve(name).find(root) is not None


@pytest.mark.parametrize("shape", [(20_000, 20_000, 3), (0, 8, 3), (8, 8, 1)])
def test_images_of_a_shape_that_none_has_are_refused(shape):
    with pytest.raises(InputError, match=r"image_shape must be \(H, W, 3\) with sides of 1 to 4,096 pixels"):
        dataclasses.replace(DATASETS["shapes"].spec, image_shape=shape)


@pytest.mark.parametrize("kind", ["binary", "python"])
@pytest.mark.parametrize("packed", [False, True])
def test_cifar100_trains_fine_labels_whichever_form_it_has(tmp_path, kind, packed):
    write_cifar100(tmp_path / "data", kind, packed)
    splits = DATASETS["cifar100"].load(tmp_path / "data")
    np.testing.assert_array_equal(splits.train.images, pixels("train", 32, 32, 3))
    np.testing.assert_array_equal(splits.test.labels, labels("test", 100))


def test_superclasses_of_cifar100_are_twenty_of_five():
    assert len(cifar100.CLASSES) == 100 and cifar100.CLASSES[:2] == ("apple", "aquarium_fish")
    spec = cifar100.SPEC
    assert spec.superclasses[spec.classes.index("maple_tree")] == "trees"
    assert sorted(map(spec.superclasses.count, set(spec.superclasses))) == [5] * 20


@pytest.mark.parametrize(("asked", "there"), [("cifar10", "cifar100"), ("cifar100", "cifar10")])
def test_the_other_cifar_is_refused_by_name(tmp_path, asked, there):
    WRITE[there](tmp_path / "data")
    (folder,) = (tmp_path / "data").iterdir()
    with pytest.raises(InputError, match=f"holds the data set {there}, not {asked}; choose another folder"):
        DATASETS[asked].load(folder)


@pytest.mark.parametrize("form", [{"packed": False}, {"named": False}, {}])
def test_fashion_mnist_is_read_packed_or_not(tmp_path, form):
    write_fashion_mnist(tmp_path / "data" / "fashion-mnist", **form)
    splits = DATASETS["fashion-mnist"].load(tmp_path / "data")
    np.testing.assert_array_equal(splits.train.images, pixels("train", 28, 28)[..., None].repeat(3, axis=3))
    np.testing.assert_array_equal(splits.test.labels, labels("test", 10))


@pytest.mark.skipif(not DEBIAN.exists(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_of_debian_is_the_published_one():
    splits = DATASETS["fashion-mnist"].load(DEBIAN)
    assert (len(splits.train), len(splits.test)) == (60_000, 10_000)
    for axes, start, sha256 in (
        (3, 16, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
        (1, 8, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    ):
        values = splits.train.images[..., 0] if axes == 3 else splits.train.labels.astype(np.uint8)
        header = b"\0\0\x08" + bytes([axes]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
        assert len(header) == start
        assert hashlib.sha256(header + np.ascontiguousarray(values).tobytes()).hexdigest() == sha256
    np.testing.assert_allclose(splits.train.images.mean() / 255, fashion_mnist.SPEC.mean[0], atol=1e-4)
    np.testing.assert_allclose(splits.train.images.std() / 255, fashion_mnist.SPEC.std[0], atol=1e-4)


def test_label_ten_of_svhn_is_the_digit_zero(tmp_path):
    write_svhn(tmp_path / "data" / "svhn")
    splits = DATASETS["svhn"].load(tmp_path / "data")
    np.testing.assert_array_equal(splits.train.images, pixels("train", 32, 32, 3))
    np.testing.assert_array_equal(splits.train.labels, labels("train", 10))
    assert splits.classes[splits.train.labels[0]] == "0"


@pytest.mark.parametrize("name", ["fashion-mnist", "svhn"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "swapped"])
def test_damaged_files_are_refused_by_name(tmp_path, name, damage):
    root = tmp_path / "data"
    WRITE[name](root)
    one, *_, two = sorted(root.iterdir(), reverse=True)
    if damage == "swapped":
        one.write_bytes(two.read_bytes() if name == "fashion-mnist" else b"MATLAB 5.0 MAT-file" + bytes(200))
    else:
        one.write_bytes({"truncated": one.read_bytes()[:-30], "empty": b"", "text": b"<html>404</html>"}[damage])
    with pytest.raises(InputError, match=rf"{one.name} must .*; replace") as caught:
        DATASETS[name].load(root)
    assert "\n" not in str(caught.value)


def test_labels_of_svhn_beyond_the_digits_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_files, "labels", lambda part, classes: np.full(dataset_files.COUNTS[part], 11))
    write_svhn(tmp_path)
    with pytest.raises(InputError, match=r"labels must lie in 1\.\.10, found 11\.\.11"):
        svhn.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar", "unknown dataset 'cifar'; known are cifar10, cifar100, fashion-mnist, svhn, shapes, folder:DIR and"),
        ("nowhere:NAME", "dataset 'nowhere:NAME' cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("dataset_files:GONE", "cannot be imported: AttributeError: module 'dataset_files' has no attribute 'GONE'"),
        ("dataset_files:COUNTS", "must be a jaxattn.data.dataset.Dataset, it is of type dict"),
    ],
)
def test_a_name_that_is_no_data_set_is_refused(name, message):
    with pytest.raises(InputError, match=message) as caught:
        data.resolve(name)
    assert caught.value.setting == "dataset"


def test_a_module_of_the_readers_own_is_imported_only_when_trusted(tmp_path):
    config = Config(dataset="planted_module:NAME")
    with pytest.raises(InputError, match="names the data set planted_module:NAME, whose code would run") as caught:
        check_trusted_data(config, tmp_path, False)
    assert caught.value.setting == "trust_code"
    check_trusted_data(config, tmp_path, True)
    check_trusted_data(Config(dataset="dataset_files:OWN"), tmp_path, False)  # imported already


def test_a_data_set_of_the_readers_own_trains_and_is_read_again(small_network, tmp_path, quiet):
    config = Config(**{"dataset": "dataset_files:OWN", "epochs": 1, "batch_size": 6, "recipe": "original"})
    run = fit(config, tmp_path / "run", quiet)
    assert load_run(tmp_path / "run").spec == run.spec == dataset_files.OWN.spec
    assert len(read_test(tmp_path / "run")) == 40


def test_tfds_is_imported_before_other_threads_import(tmp_path):
    """While TFDS is imported, it replaces Python's import, in all threads; reading must import no more of it."""
    tiny.folder(tmp_path)
    code = (
        "import sys, pathlib; from jaxattn.data import DATASETS; root = pathlib.Path(sys.argv[1]); "
        "dataset = DATASETS['cifar10']; dataset.prepare(root); import builtins; plain = builtins.__import__; "
        "before = set(sys.modules); splits = dataset.load(root); assert builtins.__import__ is plain; "
        "print([name for name in set(sys.modules) - before if name.partition('.')[0] in "
        "('tensorflow_datasets', 'array_record', 'etils')], len(splits.train))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "160"]


def test_tfds_is_not_imported_where_the_images_are_cached(tmp_path):
    tiny.folder(tmp_path)
    DATASETS["cifar10"].load(tmp_path)
    code = (
        "import sys, pathlib; from jaxattn.data import DATASETS; root = pathlib.Path(sys.argv[1]); "
        "DATASETS['cifar10'].prepare(root); DATASETS['cifar10'].load(root); print('tensorflow_datasets' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
