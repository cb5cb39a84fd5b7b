"""MATLAB files: read as SciPy reads them, within a limit, and only the arrays that are asked for."""

from pathlib import Path

import numpy as np
import pytest
from scipy import io

from jaxattn.data.mat_file import parse_mat

MATLAB_FILES = [
    path
    for name in ("double", "matrix", "minus", "multi")
    for path in (Path(io.matlab.__file__).parent / "tests" / "data").glob(f"test{name}_[67].*.mat")
]


@pytest.mark.skipif(not MATLAB_FILES, reason="SciPy is installed without its tests")
def test_files_that_matlab_wrote_are_read_as_scipy_reads_them():
    for path in MATLAB_FILES:
        expected = {name: array for name, array in io.loadmat(path).items() if not name.startswith("__")}
        arrays = parse_mat(path.read_bytes(), expected, 1 << 20)
        assert arrays.keys() == expected.keys(), path
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize("packed", [False, True])
def test_only_the_named_arrays_of_a_matlab_file_are_read_within_a_limit(tmp_path, packed):
    values = {"X": np.arange(6, dtype=np.uint8).reshape(1, 2, 3), "long name": np.ones(2), "cells": [1, "a"]}
    io.savemat(tmp_path / "a.mat", values, do_compression=packed)
    content = (tmp_path / "a.mat").read_bytes()
    arrays = parse_mat(content, ("X", "cells"), 1 << 20)
    assert arrays.keys() == {"X"} and arrays["X"].dtype == np.uint8
    np.testing.assert_array_equal(arrays["X"], values["X"])
    with pytest.raises(ValueError, match="holds two arrays X"):
        parse_mat(content + content[128:], ("X",), 1 << 20)
    for length in (100, 130, len(content) - 9):
        with pytest.raises(ValueError, match=r"is truncated|is not a MATLAB file of level 5"):
            parse_mat(content[:length], ("X",), 1 << 20)
    if packed:
        with pytest.raises(ValueError, match="its arrays must have at most 9 bytes"):
            parse_mat(content, ("X",), 9)
