"""The chunks that a PNG consists of."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of this kind: its length, its content and their checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def without_metadata(content: bytes) -> bytes:
    """A PNG with only the chunks that its pixels depend on, and its EXIF if that is undamaged."""
    kept, start = [SIGNATURE], len(SIGNATURE)
    while start + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, start)
        one = content[start : start + 12 + length]
        is_whole = one[-4:] == struct.pack(">I", zlib.crc32(one[4:-4]))
        if name in _PIXELS or (name == b"eXIf" and is_whole):
            kept.append(one)
        start += 12 + length
    return b"".join(kept)
