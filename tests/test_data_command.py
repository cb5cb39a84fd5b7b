"""`jaxattn data`: which data sets there are, where each is or would come from, and what the cache holds."""

import json

import pytest
from dataset_files import write_fashion_mnist

from jaxattn.data import DATASETS, __main__, cache
from jaxattn.errors import InputError


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(cache.LIMIT, "3.5")


@pytest.fixture
def data_dir(tmp_path):
    """A folder with Fashion-MNIST, whose images are in the cache."""
    root = tmp_path / "data"
    write_fashion_mnist(root / "fashion-mnist")
    DATASETS["fashion-mnist"].load(root)
    return root


@pytest.fixture
def printed(capsys, data_dir):
    def run(*flags):
        __main__.main(["--data-dir", str(data_dir), *flags])
        return capsys.readouterr().out

    return run


def test_each_data_set_is_listed_with_its_size_and_place(printed, data_dir):
    header, *rows, last = printed().splitlines()
    assert header.split() == ["name", "classes", "train", "+", "test", "size", "where"]
    assert [row.split()[0] for row in rows] == list(DATASETS)
    lines = dict(zip(DATASETS, rows, strict=True))
    assert lines["fashion-mnist"].split() == (
        ["fashion-mnist", "10", "60,000", "+", "10,000", "28x28", str(data_dir / "fashion-mnist")]
    )
    assert lines["cifar100"].split()[1:6] == ["100", "50,000", "+", "10,000", "32x32"]
    assert "not on this machine; would be downloaded from http" in lines["svhn"]
    assert last == f"cache: fashion-mnist 0.00 GB; 0.00 of 3.5 GB ({cache.LIMIT}) in {cache.folder()}"


def test_without_a_home_folder_the_list_is_printed(capsys, tmp_path, monkeypatch):
    def no_home():
        raise RuntimeError("there is no home directory")

    monkeypatch.setattr(cache, "cache_folder", no_home)
    __main__.main(["--data-dir", str(tmp_path)])
    assert "but nothing is kept: there is no home directory" in capsys.readouterr().out


def test_clear_cache_deletes_what_the_cache_holds_and_no_data(printed, data_dir):
    *_, deleted, last = printed("--clear-cache").splitlines()
    assert deleted == "deleted from the cache: 1" and last.startswith("cache: nothing; 0.00 of 3.5 GB")
    assert cache.entries() == [] and DATASETS["fashion-mnist"].find(data_dir) is not None
    assert "deleted from the cache: 0" in printed("--clear-cache")


def test_json_holds_the_same(printed, data_dir):
    values = json.loads(printed("--json"))
    rows = {row["name"]: row for row in values["datasets"]}
    assert list(rows) == list(DATASETS) and values["limit"] == 3_500_000_000
    mine = rows["fashion-mnist"]
    assert (mine["classes"], mine["train"], mine["test"], mine["image_shape"]) == (10, 60_000, 10_000, [28, 28, 3])
    assert mine["path"] == str(data_dir / "fashion-mnist") and rows["svhn"]["path"] is None
    (entry,) = values["cache"]
    (expected,) = cache.entries()
    assert entry == {"name": "fashion-mnist", "bytes": expected.size, "path": str(expected.path)}
    assert json.loads(printed("--json", "--clear-cache"))["cache"] == []


def test_a_folder_or_a_limit_that_cannot_be_used_is_refused(printed, monkeypatch):
    with pytest.raises(InputError, match="gs://bucket is an address"):
        __main__.main(["--data-dir", "gs://bucket"])
    monkeypatch.setenv(cache.LIMIT, "much")
    with pytest.raises(InputError, match=f"{cache.LIMIT} must be gigabytes, 0 or more, got 'much'"):
        printed()
