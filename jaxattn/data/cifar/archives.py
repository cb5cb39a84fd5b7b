"""Archives of CIFAR-10 and CIFAR-100 as their authors publish them: "python" and "binary", packed or unpacked."""

import gzip
import tarfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from jaxattn.data import unpickle
from jaxattn.data.cifar.published import SIDE, Published
from jaxattn.data.splits import Split, Splits
from jaxattn.errors import InputError
from jaxattn.limits import open_file, read_bytes

_PLANES = (3, SIDE, SIDE)  # both versions store an image as its red, its green and its blue plane
_PIXELS = 3 * SIDE * SIDE
# Limits of what is read, each at least twice the published archives' size: 153 million bytes a batch, 186 in all.
_MAX_BATCH = 320_000_000
_MAX_TOTAL = 400_000_000
_MAX_MEMBERS = 100
_ADVICE = "replace it with a complete copy, or delete it"

# The data sets, by the folders that their archives unpack to.
DATASETS = {
    "cifar-10-batches-bin": "cifar10",
    "cifar-10-batches-py": "cifar10",
    "cifar-100-binary": "cifar100",
    "cifar-100-python": "cifar100",
}

_Batch = tuple[UInt8[np.ndarray, "N 32 32 3"], Int32[np.ndarray, " N"]]  # images and labels


def read(published: Published, path: Path) -> Splits:
    """The images in an archive or in the folder it unpacks to. Nothing is written, and no code in a pickle runs.

    Args:
        published: which of the two data sets.
        path: a `.tar.gz` file or a folder, of either version. Batches may have any length.

    Raises:
        InputError: if it is damaged, incomplete or another data set.
    """
    what = published.spec.name
    try:
        files = _folder(published, path) if path.is_dir() else _tar(published, path)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise InputError(
            f"{path} must be a folder or archive (.tar.gz) of {what}, but {_reason(error)}; {_ADVICE}"
        ) from error
    binary, python = published.versions
    is_binary = any(batch + binary.suffix in files for batch in (*published.train, *published.test))
    suffix, parse = (binary.suffix, _parse_binary) if is_binary else (python.suffix, _parse_python)
    missing = [batch + suffix for batch in (*published.train, *published.test) if batch + suffix not in files]
    if missing:
        raise InputError(
            f"{path} must hold {len(published.train)} training and {len(published.test)} test batch of {what}, lacks "
            f"{', '.join(missing)}; {_ADVICE}"
        )

    def split(batches):
        parts = [parse(published, f"{path}: {batch}{suffix}", files.pop(batch + suffix)) for batch in batches]
        images, labels = zip(*parts, strict=True)
        return Split(np.concatenate(images), np.concatenate(labels))

    return Splits(published.spec, split(published.train), split(published.test))


def _folder(published: Published, path: Path) -> dict[str, bytes]:
    names = published.files.values()
    return {name: read_bytes(path / name, _MAX_BATCH) for name in names if (path / name).is_file()}


class _Unzipped:
    """An unzipped stream, read up to a limit, since the size of the packed file does not show how much there is."""

    def __init__(self, stream: gzip.GzipFile):
        self._stream, self._left = stream, _MAX_TOTAL

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`.

        Raises:
            tarfile.ReadError: beyond the limit.
        """
        content = self._stream.read(min(size, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise tarfile.ReadError(f"it has more than {_MAX_TOTAL:,} bytes when it is unpacked")
        return content


def _tar(published: Published, path: Path) -> dict[str, bytes]:
    """The batches in an archive, by file name. Only members with exactly the paths of batches are read."""
    files, others = {}, set()
    with open_file(path, _MAX_TOTAL) as packed, gzip.open(packed) as unzipped:
        stream = _Unzipped(unzipped)
        with tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]  # it needs only `read`
            for number, member in enumerate(tar):
                if number >= _MAX_MEMBERS:
                    raise tarfile.ReadError(f"it has more than {_MAX_MEMBERS} members")
                inside = member.name.removeprefix("./")
                others.add(DATASETS.get(inside.partition("/")[0], published.spec.name))
                name = published.files.get(inside)
                if name and member.size > _MAX_BATCH:
                    raise tarfile.ReadError(f"{member.name} has {member.size:,} bytes, more than {_MAX_BATCH:,}")
                if name and member.isfile() and not member.issparse() and (file := tar.extractfile(member)):
                    files[name] = file.read()
        while stream.read(1 << 20):  # gzip's checksum, at the end, covers the whole file
            pass
    if other := next(iter(others - {published.spec.name}), None):
        raise tarfile.ReadError(f"it is an archive of the data set {other}")
    return files


def _parse_binary(published: Published, where: str, content: bytes) -> _Batch:
    """Images [N, 32, 32, 3] and labels [N] of a batch that holds label bytes, then the pixels, for each image."""
    size = published.labels + _PIXELS
    if not content or len(content) % size:
        raise InputError(f"{where}: must hold {size} bytes for each image, holds {len(content)}; {_ADVICE}")
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    return _checked(published, where, records[:, published.labels :], records[:, published.labels - 1])


def _parse_python(published: Published, where: str, content: bytes) -> _Batch:
    """Images [N, 32, 32, 3] and labels [N] of a batch that is a pickled dict."""
    try:
        batch = unpickle.load_dict(content)
        pixels, labels = (_array(batch[key]) for key in ("data", published.key))
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(
            f"{where}: must be a pickled dict with data and {published.key}, but {_reason(error)}; {_ADVICE}"
        ) from error
    return _checked(published, where, pixels, labels)


def _array(value: object) -> np.ndarray:
    if isinstance(value, list) and all(isinstance(one, int) for one in value):
        return np.array(value)
    if not isinstance(value, np.ndarray):
        raise TypeError("images and labels must be arrays or lists of integers")
    return value


def _checked(published: Published, where: str, pixels: np.ndarray, labels: np.ndarray) -> _Batch:
    """Images and labels of a batch, from arrays that must be pixels [N, 3072] and labels [N].

    Raises:
        InputError: if they are not.
    """
    classes = len(published.spec.classes)
    if not pixels.size or pixels.shape[1:] != (_PIXELS,) or pixels.dtype != np.uint8:
        about = f"{pixels.dtype} {list(pixels.shape)}"
        raise InputError(f"{where}: data must be uint8 [N, {_PIXELS}], found {about}; {_ADVICE}")
    if labels.shape != pixels.shape[:1] or labels.dtype.kind not in "iu":
        about = f"{labels.dtype} {list(labels.shape)}"
        raise InputError(f"{where}: labels must be {len(pixels)} integers, found {about}; {_ADVICE}")
    low, high = labels.min(), labels.max()
    if low < 0 or high >= classes:
        raise InputError(f"{where}: labels must lie in 0..{classes - 1}, found {low}..{high}; {_ADVICE}")
    images = pixels.reshape(-1, *_PLANES).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels.astype(np.int32)


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
