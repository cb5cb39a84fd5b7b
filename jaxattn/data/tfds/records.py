"""The records in a file of a TFDS data set, whose number and size are checked before they are unpacked."""

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from jaxattn.errors import InputError
from jaxattn.limits import open_file

MAX_BYTES = 512 << 20  # of the records of a split; the published training images have 130 million
_BLOCK, _BLOCK_HEADER, _CHUNK_HEADER = 1 << 16, 24, 40


def read(path: Path, limit: int) -> list[bytes]:
    """The records of one file, in file order.

    Args:
        path: an array_record or a tfrecord file.
        limit: bytes that the records may have together, at most `MAX_BYTES`.

    Raises:
        Exception: of many types, if it is damaged, of another format, or has more.
    """
    if ".array_record" in path.name:
        try:
            from array_record.python import array_record_module
        except ImportError as error:
            text = f"{path.name} needs the package array_record, which is not installed; give the original archive"
            raise InputError(text, "data_dir") from error
        size = _unpacked_size(path)
        if size > limit:
            raise ValueError(f"its records must have at most {limit:,} bytes, they have {size:,}")
        return array_record_module.ArrayRecordReader(os.fspath(path)).read_all()
    if ".tfrecord" in path.name:
        with open_file(path, limit) as file:
            return list(_tfrecords(file.read()))
    raise ValueError("only array_record and tfrecord files can be read")


def _tfrecords(content: bytes) -> Iterator[bytes]:
    """The records of a file, each stored as length (8 bytes, little-endian), checksum (4), the record, checksum (4)."""
    start = 0
    while start < len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        if start + length + 16 > len(content):
            raise ValueError("the last record is truncated")
        yield content[start + 12 : start + 12 + length]
        start += length + 16


def _unpacked_size(path: Path) -> int:
    """Bytes of all records of an array_record file, according to the headers of its chunks.

    The file is a sequence of chunks, interrupted by a header of 24 bytes at every multiple of 64 KiB. A chunk's own
    header states its length at byte 8 and, at byte 32, the length of its records when they are unpacked.

    Source: the format "Riegeli/records", which array_record files use.

    Raises:
        ValueError: if the last chunk does not end with the file.
    """
    total = position = 0  # position: without the headers of blocks
    block = _BLOCK - _BLOCK_HEADER
    with open_file(path, MAX_BYTES) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        end = len(content) - _BLOCK_HEADER * -(-len(content) // _BLOCK)
        while position + _CHUNK_HEADER <= end:
            start, inside = position + _BLOCK_HEADER * (position // block + 1), block - position % block
            header = content[start : start + _CHUNK_HEADER]
            if inside < _CHUNK_HEADER:
                rest = start + inside + _BLOCK_HEADER
                header = header[:inside] + content[rest : rest + _CHUNK_HEADER - inside]
            total += struct.unpack_from("<Q", header, 32)[0]
            position += _CHUNK_HEADER + struct.unpack_from("<Q", header, 8)[0]
    if position != end:
        raise ValueError("it is truncated")
    return total
