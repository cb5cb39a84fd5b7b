"""A folder of your own images: `--dataset folder:DIR`.

Three layouts are known:

    DIR/train/CLASS/*, DIR/test/CLASS/*     splits may have other names (`labels_csv.SPLITS`)
    DIR/CLASS/*                             a fifth of each class becomes the test set
    DIR/labels.csv                          columns file, label and, optionally, split

Validation images beside test images are not used. Folders in a class's folder belong to the class. Images are what
Pillow reads (`image_file.FORMATS`), of any size and mode; each is resized to one size. Hidden files, and files without
an ending of an image format, are left out.
"""

from pathlib import Path

from jaxattn.data import cache
from jaxattn.data.dataset import Dataset
from jaxattn.data.folder.labels_csv import FILE as LABELS
from jaxattn.data.folder.listing import list_images
from jaxattn.data.folder.reading import read, usual_size
from jaxattn.data.splits import Splits
from jaxattn.errors import InputError
from jaxattn.paths import local_path, readable

PREFIX = "folder:"
SMALLEST, LARGEST = 8, 1024  # pixels of a side


def dataset(folder: str, size: str | None = None, skip_damaged: bool = False) -> Dataset:
    """The data set in a folder; its files are listed, not read.

    Args:
        folder: its path.
        size: "64" or "48x64" (height and width) in pixels; None: 64, or 32 if the images are smaller than that.
        skip_damaged: whether files that cannot be read are left out.

    Raises:
        InputError: if it holds no images in classes.
    """
    root = local_path(folder, "dataset")
    with readable(root, "dataset"):
        if not root.is_dir():
            raise InputError(f"there is no folder {root}; name one that holds images", "dataset")
        listing = list_images(root)
        height, width = _parse_size(size) or usual_size(listing.images)
        files = [image.path for image in listing.images]
        if (root / LABELS).is_file():
            files.append(root / LABELS)
        key = cache.key(files, f"folder {root} {height}x{width} {skip_damaged}")

    def load(data_dir: Path) -> Splits:
        return cache.cached(key, lambda allocate: read(root, listing, (height, width), skip_damaged, allocate))

    return Dataset(cache.spec_of(key), load, find=lambda data_dir: root, origin="your own images")


def _parse_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    sides = [int(part) for part in parts if part.isdecimal() and len(part) < 6]
    if len(sides) != len(parts) or len(sides) > 2 or not all(SMALLEST <= side <= LARGEST for side in sides):
        raise InputError(
            f"image_size must be {SMALLEST} to {LARGEST} pixels, such as 64 or 48x64 (height x width), got {text!r}",
            "image_size",
        )
    return sides[0], sides[-1]
