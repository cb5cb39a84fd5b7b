"""A data set of the reader's own that fails is reported in one line, whatever it raises."""

import sys

import pytest
import tiny
from dataset_files import OWN

from jaxattn import Config, compare, fit, train
from jaxattn.data import DATASETS
from jaxattn.data.dataset import Dataset
from jaxattn.errors import InputError


def fails(data_dir):
    raise KeyError("mine")


LOAD_FAILS = Dataset(tiny.SPEC, fails)
LATE_FAILS = Dataset(None, fails)
FIND_FAILS = Dataset(tiny.SPEC, OWN.load, find=fails)
PREPARE_FAILS = Dataset(tiny.SPEC, OWN.load, prepare=fails)
EXITS = Dataset(tiny.SPEC, lambda data_dir: sys.exit(0))
A_TUPLE = Dataset(tiny.SPEC, lambda data_dir: (1, 2))
A_LIST = Dataset(None, lambda data_dir: [])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("LOAD_FAILS", "cannot be read: KeyError: 'mine'"),
        ("LATE_FAILS", "cannot be read: KeyError: 'mine'"),
        ("FIND_FAILS", "cannot be read: KeyError: 'mine'"),
        ("PREPARE_FAILS", "cannot be read: KeyError: 'mine'"),
        ("EXITS", "cannot be read: SystemExit: 0"),
        ("A_TUPLE", ": load must return Splits, it returned a tuple"),
        ("A_LIST", ": load must return Splits, it returned a list"),
    ],
)
def test_a_data_set_of_the_readers_own_that_fails_is_reported_in_one_line(small_network, tmp_path, name, reason):
    flags = [
        "--dataset",
        f"test_own_dataset:{name}",
        "--epochs",
        "1",
        "--batch-size",
        "6",
        "--out",
        str(tmp_path / "run"),
    ]
    with pytest.raises(InputError, match=rf"dataset test_own_dataset:{name} ?{reason}") as caught:
        train.main(flags)
    assert caught.value.setting == "dataset" and not (tmp_path / "run").exists()


def test_a_comparison_reports_a_data_set_that_fails_in_one_line(small_network, tmp_path, quiet):
    with pytest.raises(InputError, match="dataset test_own_dataset:LOAD_FAILS cannot be read: KeyError: 'mine'"):
        compare(["none", "se"], 2, tmp_path, quiet, dataset="test_own_dataset:LOAD_FAILS", batch_size=6)


def test_a_module_that_exits_while_it_is_imported_is_reported(tmp_path, monkeypatch):
    (tmp_path / "planted_exit.py").write_text("import sys; sys.exit(0)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="dataset 'planted_exit:DATA' cannot be imported: SystemExit: 0"):
        train.main(["--dataset", "planted_exit:DATA", "--out", str(tmp_path / "run")])


def test_an_error_of_a_data_set_of_this_package_keeps_its_traceback(small_network, tmp_path, monkeypatch, quiet):
    monkeypatch.setitem(DATASETS, "tiny", Dataset(tiny.SPEC, fails))
    with pytest.raises(KeyError, match="mine"):
        fit(Config(**tiny.CONFIG), tmp_path / "run", quiet)
