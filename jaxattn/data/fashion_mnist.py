"""Fashion-MNIST: 28x28 grey images, given as RGB with equal channels.

Source: Xiao et al. 2017, arXiv:1708.07747.
"""

import gzip
import io
import struct
import zlib
from pathlib import Path

import numpy as np

from jaxattn.data import cache, download
from jaxattn.data.dataset import Dataset
from jaxattn.data.spec import Spec
from jaxattn.data.splits import PARTS, Split, Splits
from jaxattn.errors import InputError
from jaxattn.limits import open_file
from jaxattn.paths import local_path

_HOST = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
# The compressed files, each with its size in bytes and its SHA-256, as published.
FILES = {
    f"{name}-ubyte.gz": download.Remote(f"{_HOST}/{name}-ubyte.gz", size, sha256)
    for name, size, sha256 in (
        ("train-images-idx3", 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        ("train-labels-idx1", 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        ("t10k-images-idx3", 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        ("t10k-labels-idx1", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    )
}
FOLDERS = ("", "fashion-mnist", "fashion_mnist", "FashionMNIST/raw")  # torchvision's is the last
_MAX_PACKED, _MAX_UNPACKED = 64_000_000, 128_000_000  # bytes; the largest published file has 47 million unpacked
SIDE = 28
SPEC = Spec(
    name="fashion-mnist",
    classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    image_shape=(SIDE, SIDE, 3),
    train=60_000,
    test=10_000,
    mean=(0.2860, 0.2860, 0.2860),
    std=(0.3530, 0.3530, 0.3530),
    source="Xiao et al. 2017, arXiv:1708.07747, https://github.com/zalandoresearch/fashion-mnist; MIT licence",
)


def find(data_dir: Path) -> Path | None:
    """The folder of the four files, compressed or not: `data_dir` or one of `FOLDERS` in it; None if one is missing."""
    folders = (data_dir / name for name in FOLDERS)
    return next((folder for folder in folders if all(_file(folder, name) for name in FILES)), None)


def _file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name.removesuffix(".gz"), folder / name) if path.is_file()), None)


def load(data_dir: Path) -> Splits:
    """The images from what `find` finds; if nothing, the files are downloaded into the folder `fashion-mnist`.

    Raises:
        UnavailableError: if they are missing and cannot be downloaded.
        InputError: if a file is damaged or holds something else.
    """
    data_dir = local_path(data_dir, "data_dir")
    folder = find(data_dir) or download.obtain(data_dir / SPEC.name, SPEC.name, FILES, lambda: find(data_dir))
    paths = [path for name in FILES if (path := _file(folder, name))]

    def read(allocate: cache.Allocate) -> Splits:
        pairs = zip(PARTS, paths[::2], paths[1::2], strict=True)
        return Splits(SPEC, *(_split(part, images, labels, allocate) for part, images, labels in pairs))

    return cache.cached(cache.key(paths), read)


def _split(part: str, images: Path, labels: Path, allocate: cache.Allocate) -> Split:
    grey, classes = _idx(images, 3), _idx(labels, 1)
    if grey.shape != (len(classes), SIDE, SIDE):
        raise InputError(
            f"{images} must hold {len(classes)} images of {SIDE}x{SIDE}, as {labels.name} has labels, found "
            f"{list(grey.shape)}; replace both with complete copies"
        )
    pixels = allocate(part, (*grey.shape, 3))
    pixels[:] = grey[..., None]
    return Split(pixels, classes.astype(np.int32))


def _idx(path: Path, axes: int) -> np.ndarray:
    """The array of bytes in an IDX file: two zeros, type, number of axes, the size of each, then the values.

    Raises:
        InputError: if it is damaged, or of another type or number of axes.
    """
    try:
        with open_file(path, _MAX_PACKED) as file:
            content = file.read(_MAX_PACKED)
        if content[:2] == b"\x1f\x8b":
            # Not `gzip.decompress`: it has no limit.
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                content = packed.read(_MAX_UNPACKED + 1)
        start = 4 + 4 * axes
        kind, count, *sizes = struct.unpack_from(f">HBB{axes}I", content)[1:]
        if (kind, count) != (8, axes) or len(content) != start + int(np.prod(sizes, dtype=object)):
            raise ValueError(
                f"it must be IDX of bytes with {axes} axes, found {content[:4].hex()} and {len(content)} bytes"
            )
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} must be a file of Fashion-MNIST, but {reason}; replace it with a complete copy, or delete it"
        ) from error
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)


DATASET = Dataset(SPEC, load, find, origin=f"not on this machine; would be downloaded from {_HOST}")
