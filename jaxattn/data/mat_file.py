"""Arrays of numbers in MATLAB files of level 5, read within a limit: SciPy allocates what a file states.

Source: MathWorks, "MAT-File Format", https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf.
"""

import struct
import zlib
from collections.abc import Collection, Iterator

import numpy as np

HEADER = 128  # bytes
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
MATRIX, COMPRESSED = 14, 15


def parse_mat(content: bytes, names: Collection[str], limit: int) -> dict[str, np.ndarray]:
    """The arrays [...] of real numbers in a MATLAB file of level 5 (versions 5 to 7.2), by name.

    Args:
        content: of the file.
        names: of the arrays; all else is left out.
        limit: bytes that all compressed arrays may have together.

    Raises:
        ValueError: if it is damaged, is of another version, holds two arrays of one name, or is larger.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[HEADER - 2 : HEADER])
    if order is None:
        raise ValueError("it is not a MATLAB file of level 5")
    arrays: dict[str, np.ndarray] = {}
    for kind, data in _elements(memoryview(content)[HEADER:], order):
        if kind == COMPRESSED:
            data = _decompressed(data, limit)  # noqa: PLW2901
            limit -= len(data)
            kind, data = next(_elements(data, order), (kind, data))  # noqa: PLW2901
        parts = list(_elements(data, order)) if kind == MATRIX else []
        if len(parts) == 4 and parts[3][0] in TYPES:  # others are complex, sparse, or cells
            _, (_, shape), (_, characters), (number, values) = parts
            name = bytes(characters).decode("latin-1")
            if name in arrays:
                raise ValueError(f"it holds two arrays {name}")
            if name in names:
                array = np.frombuffer(values, order + TYPES[number])
                arrays[name] = array.reshape(np.frombuffer(shape, f"{order}i4"), order="F")
    return arrays


def _decompressed(data: memoryview, limit: int) -> memoryview:
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(content) > limit:
        raise ValueError(f"its arrays must have at most {limit:,} bytes")
    return memoryview(content)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """The type and the bytes of each element."""
    start = 0
    while start < len(data):
        if len(data) < start + 8:
            raise ValueError("it is truncated")
        kind, size = struct.unpack_from(f"{order}2I", data, start)
        start, padded = start + 8, size if kind == COMPRESSED else -(-size // 8) * 8
        if kind >> 16:  # a small element: type and size in four bytes, and up to four bytes of data
            kind, size, start, padded = kind & 0xFFFF, kind >> 16, start - 4, 4
        if start + size > len(data):
            raise ValueError("it is truncated")
        yield kind, data[start : start + size]
        start += padded
