"""Arrays from untrusted files; the sizes that a file states are checked before anything is unpacked."""

import io
import json
import math
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np

from jaxattn.limits import TEXT, open_file

MEMBERS = 1000  # arrays in a file
_TYPES = {  # of safetensors
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "BOOL": np.bool_,
    "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8,
    "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8,
}  # fmt: skip
_ZIP_MEMBER = b"PK\1\2"  # starts the entry of each member in the directory of a zip file


def parse_npz(content: bytes, limit: int) -> dict[str, np.ndarray]:
    """The arrays [...] of numbers or text in an `.npz` file, by name.

    The sizes that the file states are compared with each other and with the limit before anything is unpacked.

    Args:
        content: of the file.
        limit: bytes that all arrays may have together.

    Raises:
        Exception: of many types, if it is damaged, holds anything else, or is larger.
    """
    if content.count(_ZIP_MEMBER) > MEMBERS:
        raise ValueError(f"it must hold at most {MEMBERS} arrays")
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = file.infolist()
        size = sum(member.file_size for member in members)
        if size > limit:
            raise ValueError(f"its arrays must have at most {limit:,} bytes, they have {size:,}")
        if len({member.filename for member in members}) < len(members):
            raise ValueError("it holds two arrays of one name")
        return {member.filename.removesuffix(".npy"): _parse_npy(file.read(member)) for member in members}


def _parse_npy(content: bytes) -> np.ndarray:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):  # a later version is only for field names
        raise ValueError(f"arrays must have version 1.0 or 2.0 of NumPy's format, found {version}")
    read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[version[0]]
    shape, is_fortran, dtype = read_header(stream)
    if dtype.kind not in "biufUS" or not dtype.itemsize:
        raise ValueError(f"arrays must hold numbers, found {dtype}")
    if math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise ValueError(f"an array of shape {list(shape)} must have {math.prod(shape) * dtype.itemsize:,} bytes")
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if is_fortran else "C").astype(dtype.newbyteorder("="))


def map_npy(path: Path, limit: int) -> np.ndarray:
    """The array [...] in a `.npy` file, memory-mapped: only what is used is read.

    Args:
        path: of the file.
        limit: bytes that it may have.

    Raises:
        Exception: of many types, if it is damaged, holds objects, is larger or cannot be read.
    """
    open_file(path, limit).close()  # checks that it is a regular file, and its size
    return np.lib.format.open_memmap(path, mode="r")


def parse_safetensors(content: bytes) -> dict[str, np.ndarray]:
    """The arrays [...] of numbers in a safetensors file, by name, in file order; those of bfloat16 become float32.

    Args:
        content: of the file. The library compares its header with its size before it copies an array.

    Raises:
        Exception: of many types, if it is damaged.
    """
    import safetensors

    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > min(TEXT, len(content) - 8):
        raise ValueError(f"its header must have at most {TEXT:,} bytes and end within the file, it states {size:,}")
    stored, header = dict(safetensors.deserialize(content)), json.loads(content[8 : 8 + size])
    arrays = {}
    for name in sorted(stored, key=lambda name: header[name]["data_offsets"]):
        about = stored[name]
        if about["dtype"] not in _TYPES:
            raise ValueError(f"arrays must hold real numbers, {name!r:.40} is {about['dtype']}; convert it to float32")
        array = np.frombuffer(about["data"], _TYPES[about["dtype"]]).reshape(about["shape"])
        arrays[name] = array.astype(np.float32) if about["dtype"] == "BF16" else array
    return arrays
