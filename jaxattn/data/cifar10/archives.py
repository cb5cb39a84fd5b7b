"""CIFAR-10 as its authors publish it: the "python" and "binary" archives, packed or unpacked."""

import gzip
import tarfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from jaxattn.data import unpickle
from jaxattn.data.splits import Split, Splits
from jaxattn.errors import InputError
from jaxattn.limits import open_file, read_bytes

#: The names of the classes, in the order of their labels.
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

#: The file names of the archives.
ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")

_FOLDERS = {"cifar-10-batches-bin": ".bin", "cifar-10-batches-py": ""}  # {unpacked folder: suffix of its batches}
_BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
_PLANES = (3, 32, 32)  # both versions store an image as its red, its green and its blue plane
_PIXELS = 3 * 32 * 32
# Limits of what is read, each at least twice that of the published archives: 31 million bytes a batch, 186 in all.
_MAX_BATCH = 64_000_000
_MAX_TOTAL = 6 * _MAX_BATCH + 10_000_000
_MAX_MEMBERS = 100
_ADVICE = "replace it with a complete copy, or delete it"

_Batch = tuple[UInt8[np.ndarray, "N 32 32 3"], Int32[np.ndarray, " N"]]  # images and labels


def find(data_dir: Path) -> Path | None:
    """The path to `read`: `data_dir` if it is an unpacked folder, else such a folder or an archive in it, else None."""
    if any((data_dir / (batch + end)).is_file() for batch in _BATCHES for end in _FOLDERS.values()):
        return data_dir
    return next((data_dir / name for name in (*_FOLDERS, *ARCHIVES) if (data_dir / name).exists()), None)


def read(path: Path) -> Splits:
    """The data set in an archive or in the folder it unpacks to. Nothing is written, and no code in a pickle runs.

    Args:
        path: a `.tar.gz` file or a folder, of either version. Batches may have any length.

    Raises:
        InputError: where it is damaged, incomplete or is not CIFAR-10.
    """
    try:
        files = _folder(path) if path.is_dir() else _tar(path)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise InputError(
            f"{path} must be a folder or archive (.tar.gz) of CIFAR-10, but {_reason(error)}; {_ADVICE}"
        ) from error
    end, parse = (".bin", _parse_binary) if any(name.endswith(".bin") for name in files) else ("", _parse_python)
    missing = [batch + end for batch in _BATCHES if batch + end not in files]
    if missing:
        raise InputError(f"{path} must hold 5 training batches and 1 test batch, lacks {', '.join(missing)}; {_ADVICE}")
    batches = [parse(f"{path}: {batch}{end}", files.pop(batch + end)) for batch in _BATCHES]
    images, labels = ([batch[part] for batch in batches] for part in (0, 1))
    train = Split(np.concatenate(images[:-1]), np.concatenate(labels[:-1]))
    return Splits("cifar10", CLASSES, train, Split(images[-1], labels[-1]))


def _folder(path: Path) -> dict[str, bytes]:
    names = [batch + end for end in _FOLDERS.values() for batch in _BATCHES]
    return {name: read_bytes(path / name, _MAX_BATCH) for name in names if (path / name).is_file()}


class _Unzipped:
    """What is read of an unzipped stream, up to a limit: the packed file does not show how much it will be."""

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


def _tar(path: Path) -> dict[str, bytes]:
    """The batches in an archive, by file name. Only members with exactly the paths of batches are read."""
    wanted = {f"{folder}/{batch}{end}": batch + end for folder, end in _FOLDERS.items() for batch in _BATCHES}
    files = {}
    with open_file(path, _MAX_TOTAL) as packed, gzip.open(packed) as unzipped:
        stream = _Unzipped(unzipped)
        with tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]  # it needs only `read`
            for number, member in enumerate(tar):
                if number >= _MAX_MEMBERS:
                    raise tarfile.ReadError(f"it has more than {_MAX_MEMBERS} members")
                name = wanted.get(member.name.removeprefix("./"))
                if name and member.size > _MAX_BATCH:
                    raise tarfile.ReadError(f"{member.name} has {member.size:,} bytes, more than {_MAX_BATCH:,}")
                if name and member.isfile() and not member.issparse() and (file := tar.extractfile(member)):
                    files[name] = file.read()
        while stream.read(1 << 20):  # gzip's checksum, at the end, covers the whole file
            pass
    return files


def _parse_binary(where: str, content: bytes) -> _Batch:
    """Images [N, 32, 32, 3] and labels [N] of a batch that holds one byte of label, then the pixels, for each image."""
    if not content or len(content) % (1 + _PIXELS):
        raise InputError(f"{where}: must hold {1 + _PIXELS} bytes for each image, holds {len(content)}; {_ADVICE}")
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + _PIXELS)
    return _checked(where, records[:, 1:], records[:, 0])


def _parse_python(where: str, content: bytes) -> _Batch:
    """Images [N, 32, 32, 3] and labels [N] of a batch that is a pickled dict."""
    try:
        batch = unpickle.load_dict(content)
        pixels, labels = (_array(batch[key]) for key in ("data", "labels"))
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(
            f"{where}: must be a pickled dict with data and labels, but {_reason(error)}; {_ADVICE}"
        ) from error
    return _checked(where, pixels, labels)


def _array(value: object) -> np.ndarray:
    if isinstance(value, list) and all(isinstance(one, int) for one in value):
        return np.array(value)
    if not isinstance(value, np.ndarray):
        raise TypeError("data and labels must be arrays or lists of integers")
    return value


def _checked(where: str, pixels: np.ndarray, labels: np.ndarray) -> _Batch:
    """Images and labels of a batch, from arrays that must be pixels [N, 3072] and labels [N].

    Raises:
        InputError: where they are not.
    """
    if not pixels.size or pixels.shape[1:] != (_PIXELS,) or pixels.dtype != np.uint8:
        about = f"{pixels.dtype} {list(pixels.shape)}"
        raise InputError(f"{where}: data must be uint8 [N, {_PIXELS}], found {about}; {_ADVICE}")
    if labels.shape != pixels.shape[:1] or labels.dtype.kind not in "iu":
        about = f"{labels.dtype} {list(labels.shape)}"
        raise InputError(f"{where}: labels must be {len(pixels)} integers, found {about}; {_ADVICE}")
    low, high = labels.min(), labels.max()
    if low < 0 or high >= len(CLASSES):
        raise InputError(f"{where}: labels must lie in 0..{len(CLASSES) - 1}, found {low}..{high}; {_ADVICE}")
    images = pixels.reshape(-1, *_PLANES).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels.astype(np.int32)


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
