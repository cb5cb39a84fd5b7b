"""SVHN, cropped (Netzer et al. 2011, "Reading digits in natural images with unsupervised feature learning")."""

from pathlib import Path

import numpy as np

from jaxattn.data import cache, download
from jaxattn.data.dataset import Dataset
from jaxattn.data.mat_file import parse_mat
from jaxattn.data.spec import Spec
from jaxattn.data.splits import PARTS, Split, Splits
from jaxattn.errors import InputError, first_line
from jaxattn.limits import read_bytes
from jaxattn.paths import local_path

FILES = {
    "train_32x32.mat": download.Remote(
        url="http://ufldl.stanford.edu/housenumbers/train_32x32.mat",
        size=182_040_794,
        sha256="435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    ),
    "test_32x32.mat": download.Remote(
        url="http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
        size=64_275_384,
        sha256="cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    ),
}
MAX_BYTES = 400_000_000
SPEC = Spec(
    name="svhn",
    classes=tuple("0123456789"),
    image_shape=(32, 32, 3),
    train=73_257,
    test=26_032,
    # The usual values; the pixels themselves have not been measured here.
    mean=(0.4377, 0.4438, 0.4728),
    std=(0.1980, 0.2010, 0.1970),
    source="Netzer et al. 2011, http://ufldl.stanford.edu/housenumbers; for non-commercial use",
)


def find(data_dir: Path) -> Path | None:
    """The folder of both files: `data_dir`, or `svhn` in it; None if they are missing."""
    folders = (data_dir, data_dir / SPEC.name)
    return next((folder for folder in folders if all((folder / name).is_file() for name in FILES)), None)


def load(data_dir: Path) -> Splits:
    """The images from `data_dir` or the folder `svhn` in it; if they are in neither, they are downloaded to the latter.

    Raises:
        UnavailableError: if they are missing and cannot be downloaded.
        InputError: if a file is damaged or holds something else.
    """
    data_dir = local_path(data_dir, "data_dir")
    folder = find(data_dir) or download.obtain(data_dir / SPEC.name, SPEC.name, FILES, lambda: find(data_dir))
    paths = [folder / name for name in FILES]

    def read(allocate: cache.Allocate) -> Splits:
        return Splits(SPEC, *(_read(path, part, allocate) for path, part in zip(paths, PARTS, strict=True)))

    return cache.cached(cache.key(paths), read)


def _read(path: Path, part: str, allocate: cache.Allocate) -> Split:
    try:
        arrays = parse_mat(read_bytes(path, MAX_BYTES), ("X", "y"), MAX_BYTES)
        if missing := {"X", "y"} - arrays.keys():
            raise ValueError(f"it lacks the array {min(missing)}")
        pixels, digits = arrays["X"], arrays["y"].ravel()
        if pixels.dtype != np.uint8 or pixels.shape != (*SPEC.image_shape, len(digits)):
            raise ValueError(f"X must be uint8 [32, 32, 3, {len(digits)}], found {pixels.dtype} {list(pixels.shape)}")
        if not ((digits >= 1) & (digits <= 10)).all():
            raise ValueError(f"labels must lie in 1..10, found {digits.min()}..{digits.max()}")
    except (ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(
            f"{path} must be a file of SVHN's cropped digits, but {reason}; replace it with a complete copy"
        ) from error
    images = allocate(part, (len(digits), *SPEC.image_shape))
    images[:] = pixels.transpose(3, 0, 1, 2)
    return Split(images, digits.astype(np.int32) % 10)  # 10 means the digit 0


DATASET = Dataset(
    SPEC, load, find, origin="not on this machine; would be downloaded from http://ufldl.stanford.edu/housenumbers"
)
