"""Files of others: what is too large, too deep or lies about its size is refused before it takes memory."""

import importlib.util
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from jaxattn.array_file import MEMBERS, parse_npz, parse_safetensors
from jaxattn.convert import load_torch
from jaxattn.errors import InputError
from jaxattn.limits import DEPTH, parse_json, read_bytes, whole_number
from jaxattn.runs.weights import read_safetensors


def test_a_file_is_read_up_to_its_limit_and_refused_above(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bytes(tmp_path / "file", 5) == b"12345"
    with pytest.raises(InputError, match="file must have at most 4 bytes, it has 5; choose another file"):
        read_bytes(tmp_path / "file", 4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes by name")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="must be a file, it is a device or a pipe"):
        read_bytes(tmp_path / "pipe", 5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, f"nested more than {DEPTH} deep"),
        ("[" * DEPTH + "]" * DEPTH + " ", None),
        ("[" * (DEPTH + 1) + "]" * (DEPTH + 1), f"nested more than {DEPTH} deep"),
        ('{"a": NaN}', "numbers must be finite"),
        ("[-Infinity]", "numbers must be finite"),
        ("1e999", "numbers must be finite"),
        (str(2**63 - 1), None),
        (str(2**63), "integers must fit into 64 bits"),
        ("9" * 5000, "4300"),
        ('"\\ud800"', "surrogates not allowed"),
        ('{"\\udfff": 1}', "surrogates not allowed"),
        ('"\\u0000"', "a string holds a NUL"),
        ('{"a": 1, "a": 2}', None),
    ],
)
def test_json_is_refused_where_it_cannot_be_computed_with_or_printed(text, reason):
    if reason is None:
        assert parse_json(text) == json.loads(text)
    else:
        with pytest.raises(ValueError, match=reason):
            parse_json(text)


def npz(**arrays):
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def npy(header, data=b""):
    text = header.encode()
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("a.npy", content)
    return stream.getvalue()


def test_arrays_of_any_numbers_and_order_are_read():
    arrays = {
        "big": np.arange(6, dtype=">i4").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "scalar": np.array(7),
        "none": np.zeros((0, 3)),
        "text": np.array("of"),
    }
    found = parse_npz(npz(**arrays), 1 << 20)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def many():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for number in range(MEMBERS + 1):
            file.writestr(str(number), b"")
    return stream.getvalue()


def twice():
    return npz(a=np.zeros(1), b=np.ones(1)).replace(b"b.npy", b"a.npy")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: npz(a=np.zeros(1 << 21, np.uint8)), "must have at most 1,048,576 bytes, they have 2,097"),
        (many, f"at most {MEMBERS} arrays"),
        (twice, "two arrays of one name"),
        (lambda: npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"), "must have 8,000,000"),
        (lambda: npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", bytes(8)), "must hold numbers"),
        (lambda: npy("{'descr': '|S0', 'fortran_order': False, 'shape': (9,), }"), "must hold numbers"),
        (lambda: npz(a=np.zeros(9))[:-30], "not a zip file"),
        (lambda: npy("{}").replace(b"\x93NUMPY", b"\x93NUMPX"), "Bad CRC"),
        (lambda: b"", "not a zip file"),
    ],
)
def test_an_npz_file_that_is_damaged_or_lies_is_refused(content, reason):
    with pytest.raises(Exception, match=reason):
        parse_npz(content(), 1 << 20)


def safetensors(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "its header must have at most"),
        (struct.pack("<Q", 1 << 62) + b"{}", "its header must have at most"),
        (
            safetensors({"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}, bytes(2)),
            "must hold real numbers, 'a' is F8_E4M3; convert it to float32",
        ),
        (save({"a": np.zeros(1, np.complex64)}), "must hold real numbers, 'a' is C64"),
        (safetensors({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}, bytes(4)), "."),
    ],
)
def test_a_safetensors_file_that_is_damaged_or_lies_is_refused_in_one_line(tmp_path, content, reason):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    for read in (read_safetensors, load_torch):
        with pytest.raises(InputError, match=rf"model\.safetensors cannot be read as .*{reason}") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(Exception, match=reason):
        parse_safetensors(content)


# Each is a small file that holds or states gigabytes. Their readers may take 150 MB more than the process has.
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by Linux's means")
def test_small_files_that_unpack_to_gigabytes_are_refused_in_little_memory(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(Path(__file__).with_name("bombs.py")), str(tmp_path), "150"]
    process = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    lines = process.stdout.splitlines()
    assert process.returncode == 0, process.stderr
    assert len(lines) == (16 if importlib.util.find_spec("torch") else 12)
    assert all(line.startswith("refused ") for line in lines), process.stdout


@pytest.mark.parametrize("text", ["1_0", "٣", "", "1.5", "0x1", "1 0", "²"])
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(ValueError, match="is not a whole number"):
        whole_number(text)


def test_whole_numbers_are_read():
    assert [whole_number(text) for text in ("0", " 12", "-3 ", "+4")] == [0, 12, -3, 4]
