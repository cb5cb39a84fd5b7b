"""Small files that hold or state gigabytes, each given to its reader, which may take so many megabytes more."""

import gzip
import pickle
import re
import resource
import struct
import sys
import tarfile
import zlib
from pathlib import Path

import cifar10_files as cifar
import numpy as np

from jaxattn.convert import load_torch
from jaxattn.data import cifar10, png, tfds
from jaxattn.data.cifar import archives
from jaxattn.errors import InputError

CHUNK = bytes(1 << 24)


def zeros():
    """300 MB, packed by zlib."""
    pack = zlib.compressobj(1)
    return b"".join([*(pack.compress(CHUNK) for _ in range(18)), pack.flush()])


def png_file(side, idat):
    return png._header(side, side) + png._chunk(b"IDAT", idat) + png._chunk(b"IEND", b"")


def records(root, kind, file):
    root.mkdir()
    path = cifar.write_tfds(root, kind)
    example = cifar.tf_example_pb2.Example()
    for name, value in (("id", b"x"), ("image", file)):
        example.features.feature[name].bytes_list.value.append(value)
    example.features.feature["label"].int64_list.value.append(1)
    cifar.write_records(next(path.glob("*test*")), [example.SerializeToString()] * 7)
    return path


def archive(path, member):
    about = tarfile.TarInfo(member)
    about.size = 25 * len(CHUNK)
    with gzip.open(path, "wb", 1) as file:
        file.write(about.tobuf())
        for _ in range(25):
            file.write(CHUNK)
    return path


def batch(root, content):
    root.mkdir()
    path = cifar.write_python(root)
    (path / "test_batch").write_bytes(content)
    return path


def pickles():
    text = b"X" + struct.pack("<I", 1 << 20) + b"x" * (1 << 20) + b"q\0"
    encode = b"c_codecs\nencode\n(h\0X\6\0\0\0latin1tR"
    yield "memo", b"\x80\2Nr" + struct.pack("<I", 1 << 27) + b"."
    yield "sets", b"\x80\4" + b"\x8f" * 5_000_000 + b"."
    yield "encode", b"\x80\2" + text + encode * 2000 + b"."
    yield "shared", pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [(0,) * 1000] * 99_999})


def read_archive(path):
    return archives.read(cifar10.PUBLISHED, path)


def bombs(root):
    def read(path):
        return tfds.read(path, cifar10.SPEC)

    np.savez_compressed(root / "weights.npz", a=np.zeros(300 << 20, np.uint8))
    yield load_torch, root / "weights.npz"
    yield read, records(root / "pixels", "tfrecord", png_file(32, zeros()))
    yield read, records(root / "size", "tfrecord", png_file(9000, zeros()))
    yield read, records(root / "record", "array_record", bytes(80 << 20))
    yield read_archive, archive(root / "batch.tar.gz", "cifar-10-batches-py/test_batch")
    yield read_archive, archive(root / "other.tar.gz", "other")
    for name, content in pickles():
        yield read_archive, batch(root / name, content)


def main(root, megabytes):
    tfds.read(cifar.write_tfds(root), cifar10.SPEC)  # imports all that it needs
    (root / "cifar10").rename(root / "whole")
    for read, path in list(bombs(root)):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), resource.RLIM_INFINITY))
        try:
            read(path)
            print("read", path)
        except InputError as error:
            print("out of memory" if re.search("MemoryError|allocate", str(error)) else "refused", path, error)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
