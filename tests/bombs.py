"""Small files that hold or state gigabytes, each given to its reader, which may take so many megabytes more."""

import gzip
import importlib.util
import pickle
import re
import resource
import struct
import sys
import tarfile
import traceback
import zipfile
import zlib
from pathlib import Path

import cifar10_files as cifar
import numpy as np

from jaxattn.convert import load_torch
from jaxattn.data import cifar10, png, svhn, tfds
from jaxattn.data.cifar import archives
from jaxattn.errors import InputError
from jaxattn.runs import checkpoint

CHUNK = bytes(1 << 24)


def zeros():
    """300 MB, packed by zlib."""
    pack = zlib.compressobj(1)
    return b"".join([*(pack.compress(CHUNK) for _ in range(18)), pack.flush()])


def png_file(side, idat):
    return png._header(side, side) + png.chunk(b"IDAT", idat) + png.chunk(b"IEND", b"")


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


def checkpoint_file(path):
    """Its header has 30 MB of empty lists."""
    header = b'{"a":[' + b"[]," * 10_000_000 + b"0]}"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


def mat_file(path):
    """It holds labels of twenty images, and states 300 MB of pixels."""

    def element(kind, content, size=None):
        return struct.pack("<2I", kind, size or len(content)) + content + bytes(-len(content) % 8)

    def matrix(name, shape, values):
        about = element(6, struct.pack("<2I", 9, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
        return element(14, about + element(1, name) + values)

    labels = matrix(b"y", (20, 1), element(2, bytes([1] * 20)))
    packed = zlib.compress(matrix(b"X", (32, 32, 3, 20), element(2, bytes(20 * 3072), 300 << 20)))
    header = b"MATLAB 5.0".ljust(124) + b"\0\1IM"
    path.write_bytes(header + labels + struct.pack("<2I", 15, len(packed)) + packed)
    return path


def torch_files(root):
    import torch

    def stored(name, tensor, change=lambda member, content: content, **options):
        torch.save({"w": tensor}, root / name, **options)
        if zipfile.is_zipfile(root / name):
            with zipfile.ZipFile(root / name) as file:
                contents = {member: file.read(member) for member in file.namelist()}
            with zipfile.ZipFile(root / name, "w", zipfile.ZIP_DEFLATED) as file:
                for member, content in contents.items():
                    file.writestr(member, change(member, content))
        return root / name

    dicts = b"\x80\2" + b"}" * 5_000_000 + b"."
    yield stored("expanded.pt", torch.zeros(1, dtype=torch.bfloat16).expand(10**10))
    yield stored("values.pt", torch.zeros(80 << 20))
    yield stored("dicts.pt", torch.zeros(1), lambda name, content: dicts if name.endswith("data.pkl") else content)
    legacy = stored("legacy.pt", torch.zeros(1), _use_new_zipfile_serialization=False)
    with legacy.open("rb+") as file:
        for _ in range(3):
            pickle.load(file)  # the version and the system
        file.truncate()
        file.write(dicts)
    yield legacy


def read_svhn(path):
    return svhn._read(path, "train", lambda part, shape: np.empty(shape, np.uint8))


def read_checkpoint(path):
    return checkpoint.read(path.parent, 1)


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
    yield read_svhn, mat_file(root / "train_32x32.mat")
    yield read_checkpoint, checkpoint_file(root / "epoch-1.safetensors")
    if importlib.util.find_spec("torch"):
        for path in torch_files(root):
            yield load_torch, path


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
            reasons = "".join(traceback.format_exception(error))
            print("out of memory" if re.search("MemoryError|allocate", reasons) else "refused", path, error)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
