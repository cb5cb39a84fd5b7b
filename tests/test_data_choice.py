"""Which data a run trains on where none is named, and what is said of it."""

import dataclasses

import pytest
import tiny

from jaxattn import Config, fit, load_run
from jaxattn.comparison.compare import compare
from jaxattn.data import DATASETS
from jaxattn.data.dataset import Dataset
from jaxattn.errors import InputError, UnavailableError
from jaxattn.runs import data

pytestmark = pytest.mark.usefixtures("small_network")


def test_too_few_images_are_reported():
    with pytest.raises(InputError, match="batch_size must be at most the 144 training images, got 145"):
        data.divide(Config(**tiny.CONFIG | {"batch_size": 145}), tiny.splits())
    with pytest.raises(InputError, match="validation must hold out an image"):
        data.divide(Config(**tiny.CONFIG | {"validation": 0.001}), tiny.splits())


def test_cifar10_is_the_default_where_it_is_available(tmp_path, quiet, monkeypatch):
    monkeypatch.setitem(DATASETS, "cifar10", tiny.dataset())
    config = Config(**tiny.CONFIG | {"dataset": None})
    assert data.load_data(config, data.find(config), quiet)[0].dataset == "cifar10"


def test_without_cifar10_shapes_are_trained_on_after_a_warning(tmp_path, capsys, monkeypatch):
    def nowhere(data_dir):
        raise UnavailableError("no CIFAR-10 anywhere")

    monkeypatch.setitem(DATASETS, "cifar10", Dataset(tiny.SPEC, nowhere))
    monkeypatch.setitem(DATASETS, "shapes", tiny.dataset())
    done = fit(Config(**tiny.CONFIG | {"dataset": None, "epochs": 1}), tmp_path / "run")
    assert done.config.dataset == done.result["dataset"] == "shapes"
    printed = capsys.readouterr().out
    assert "WARNING" in printed and "no CIFAR-10 anywhere" in printed
    warning = "CIFAR-10 was not available and no data set was named: the built-in data set shapes was used instead"
    assert done.result["notes"] == list(load_run(tmp_path / "run").notes) == [warning]
    assert fit(dataclasses.replace(done.config, dataset="shapes"), tmp_path / "named").result["notes"] == []
    with pytest.raises(UnavailableError, match="no CIFAR-10 anywhere"):  # a comparison is of one data set
        compare(["none", "se"], 1, tmp_path / "compared", **tiny.CONFIG | {"dataset": None})
    assert not (tmp_path / "compared").exists()
    with pytest.raises(UnavailableError):
        fit(Config(**tiny.CONFIG | {"dataset": "cifar10"}), tmp_path / "other")


def test_the_home_of_an_unknown_user_is_a_folder_that_is_not_there(tmp_path, quiet, monkeypatch):
    def load(folder):
        raise UnavailableError(f"nothing in {folder}")

    monkeypatch.setitem(DATASETS, "tiny", Dataset(tiny.SPEC, load))
    with pytest.raises(UnavailableError, match="nothing in ~nobody-here/data"):
        fit(Config(**tiny.CONFIG | {"data_dir": "~nobody-here/data"}), tmp_path / "run", quiet)


def test_damaged_cifar10_is_reported_and_never_replaced_by_shapes(tmp_path, quiet):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(InputError, match=r"cifar-10-binary\.tar\.gz must be a folder or archive"):
        fit(Config(**tiny.CONFIG | {"dataset": None, "data_dir": str(tmp_path)}), tmp_path / "run", quiet)
