"""CIFAR-10 as its authors publish it: the "python" and "binary" archives, packed or unpacked."""

import gzip
import io
import pickle
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxattn.data.splits import Split, Splits
from jaxattn.errors import InputError

#: The names of the classes, in the order of their labels.
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

#: What the archives are called.
ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")

_PLANES = (3, 32, 32)  # both formats store a picture as its red, its green and its blue plane
_PIXELS = 3 * 32 * 32
_LARGEST = 1 << 30  # bytes of one file; the published ones have 31 million
_BINARY = ("cifar-10-batches-bin", [f"data_batch_{number}.bin" for number in range(1, 6)], "test_batch.bin")
_PYTHON = ("cifar-10-batches-py", [f"data_batch_{number}" for number in range(1, 6)], "test_batch")
_MEND = "remove it, or put a whole copy of the published archive in its place"


def find(data_dir: Path) -> Path | None:
    """What to `read` in `data_dir`: an unpacked folder, else an archive; `data_dir` itself if it is one; or None."""
    for _, train, test in (_BINARY, _PYTHON):
        if any((data_dir / name).is_file() for name in (*train, test)):
            return data_dir
    known = [data_dir / name for name in (_BINARY[0], _PYTHON[0], *ARCHIVES)]
    return next((path for path in known if path.exists()), None)


def read(path: Path) -> Splits:
    """The data set in an archive or in the folder it unpacks to. Nothing is written, and no code in a pickle runs.

    Args:
        path: a `.tar.gz` file or a folder, of either version. Batches may have any length.

    Raises:
        InputError: where it is damaged, incomplete or holds something else.
    """
    try:
        files = _folder(path) if path.is_dir() else _tar(path)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise InputError(f"{path} must be an archive of CIFAR-10 (.tar.gz), but {_reason(error)}; {_MEND}") from error
    (_, train, test), parse = max(
        ((_BINARY, _parse_binary), (_PYTHON, _parse_python)),
        key=lambda version: len(files.keys() & {*version[0][1], version[0][2]}),
    )
    missing = [name for name in (*train, test) if name not in files]
    if missing:
        raise InputError(f"{path} must hold 5 training batches and 1 test batch, lacks {', '.join(missing)}; {_MEND}")

    def batches(names: list[str]) -> Split:
        parts = [_batch(f"{path}: {name}", files.pop(name), parse) for name in names]
        return Split(np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts]))

    return Splits("cifar10", CLASSES, batches(train), batches([test]))


def _folder(path: Path) -> dict[str, bytes]:
    names = [name for _, train, test in (_BINARY, _PYTHON) for name in (*train, test)]
    return {name: (path / name).read_bytes() for name in names if (path / name).is_file()}


def _tar(path: Path) -> dict[str, bytes]:
    """The batches in an archive, by file name. Only members with the very paths of batches are looked at."""
    wanted = {f"{folder}/{name}": name for folder, train, test in (_BINARY, _PYTHON) for name in (*train, test)}
    files = {}
    with gzip.open(path) as unzipped:
        with tarfile.open(fileobj=unzipped, mode="r|") as tar:
            for member in tar:
                name = wanted.get(member.name.removeprefix("./"))
                if name and member.size > _LARGEST:
                    raise tarfile.ReadError(f"{member.name} has {member.size:,} bytes, more than {_LARGEST:,}")
                if name and member.isfile():
                    files[name] = tar.extractfile(member).read()
        while unzipped.read(1 << 20):  # the checksum of the whole lies at the end
            pass
    return files


def _batch(where: str, content: bytes, parse: Callable[[str, bytes], tuple[np.ndarray, np.ndarray]]) -> Split:
    pixels, labels = parse(where, content)
    if not len(labels) or labels.min() < 0 or labels.max() >= len(CLASSES):
        found = f"{labels.min()}..{labels.max()}" if len(labels) else "none"
        raise InputError(f"{where}: labels must lie in 0..{len(CLASSES) - 1}, found {found}; {_MEND}")
    images = pixels.reshape(-1, *_PLANES).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), labels.astype(np.int32))


def _parse_binary(where: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 [N, 3072] and labels [N] of a batch: one byte of label, then the pixels, for each picture."""
    if len(content) % (1 + _PIXELS):
        raise InputError(f"{where}: must hold {1 + _PIXELS} bytes a picture, holds {len(content)} bytes; {_MEND}")
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + _PIXELS)
    return records[:, 1:], records[:, 0]


def _parse_python(where: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 [N, 3072] and labels [N] of a batch: a pickled dict."""
    try:
        batch = _BatchUnpickler(io.BytesIO(content), encoding="bytes").load()
        batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        pixels, labels = _plain(batch["data"]), np.asarray(_plain(batch["labels"]))
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(
            f"{where}: must be a pickled dict with data and labels, but {_reason(error)}; {_MEND}"
        ) from error
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (_PIXELS,):
        found = f"{pixels.dtype} {list(pixels.shape)}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise InputError(f"{where}: data must be uint8 [N, {_PIXELS}], found {found}; {_MEND}")
    if labels.shape != pixels.shape[:1] or labels.dtype.kind not in "iu":
        raise InputError(
            f"{where}: labels must be {len(pixels)} whole numbers, one a picture, found {labels.dtype} "
            f"{list(labels.shape)}; {_MEND}"
        )
    return pixels, labels


class _Array:
    """Stands in for `numpy.ndarray` while unpickling, and only takes notes of what it is told."""

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.is_fortran, self.content = state


class _Dtype:
    """Stands in for `numpy.dtype` while unpickling."""

    def __init__(self, code, *_):
        self.code = code

    def __setstate__(self, state):
        pass


def _array_from_buffer(content, dtype, shape, order, *_):
    array = _Array()
    array.__setstate__((None, shape, dtype, order == "F", content))
    return array


_STAND_INS = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray._reconstruct": lambda *_: _Array(),
    "numpy._core.multiarray._reconstruct": lambda *_: _Array(),
    "numpy.core.numeric._frombuffer": _array_from_buffer,
    "numpy._core.numeric._frombuffer": _array_from_buffer,
    "_codecs.encode": lambda text, _: text.encode("latin-1"),  # how Python 3 writes bytes for Python 2
}


class _BatchUnpickler(pickle.Unpickler):
    """Reads pickled arrays without calling anything a pickle names, NumPy included.

    A pickle runs whatever it names, and even `numpy.ndarray` lets one forge an array of pointers. So every name that
    pickled arrays use stands for a harmless class or function of this file, and any other name is refused.
    """

    def find_class(self, module, name):
        """The stand-in for `module.name`; refuses names that pickled arrays have no need of."""
        if f"{module}.{name}" not in _STAND_INS:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which arrays have no need of")
        return _STAND_INS[f"{module}.{name}"]


def _plain(value: object) -> object:
    """The array that a stand-in took notes of; other values as they are."""
    if not isinstance(value, _Array):
        return value
    flat = np.frombuffer(value.content, np.dtype(value.dtype.code))
    return flat.reshape(value.shape, order="F" if value.is_fortran else "C")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
