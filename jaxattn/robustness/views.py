"""The views that networks are tested on, from the names and files that a caller gives."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Integer

from jaxattn.data.splits import Split, stratified
from jaxattn.errors import InputError
from jaxattn.robustness import official, published
from jaxattn.robustness.corruptions import SEVERITIES, VERSION, corrupt
from jaxattn.robustness.view import TEST, View, digest

SEED = 0  # of the sample of the test images


def find(
    name: str, test: Split, corruptions: Sequence[str], images: int | None, files: Mapping[str, str | None]
) -> list[View]:
    """The views, the test images themselves first; all files are checked before a network is tested.

    Args:
        name: name of the data set.
        test: its test images.
        corruptions: names of corruptions that are made here.
        images: how many of the test images are taken, as a stratified sample; None for all.
        files: paths of what others published, by `cifar10_c`, `cifar10_1`, `duplicates`, `label_errors`, `people`.

    Raises:
        InputError: if a file cannot be used, or is not for these test images, or a view would be empty.
    """
    if images is not None and not 0 < images <= len(test):
        raise InputError(f"images must be 1 to {len(test):,}, the number of test images, got {images:,}", "images")
    given = {setting: path for setting, path in files.items() if path is not None}
    for setting in given:
        official.check_order(name, test, setting)
    rows = np.sort(stratified(test.labels, images or len(test), SEED))
    views = [of_rows(TEST, test, rows)]
    for corruption in dict.fromkeys(corruptions):
        views += corrupted(corruption, test, rows)
    if "duplicates" in given:
        left = np.setdiff1d(rows, official.read_duplicates(given["duplicates"], test))
        views.append(of_rows("without near-duplicates", test, left))
    if "label_errors" in given:
        left = np.setdiff1d(rows, official.read_label_errors(given["label_errors"], test))
        views.append(of_rows("without doubted labels", test, left))
    if "people" in given:
        views.append(of_rows("people's labels", test, rows, official.read_people(given["people"], test)))
    if "cifar10_1" in given:
        views += published.read_new_images(given["cifar10_1"], test)
    if "cifar10_c" in given:
        views += published.read_corruptions(given["cifar10_c"], test, rows)
    if empty := [view.name for view in views if not view.images]:
        raise InputError(f"the view {empty[0]!r} has no images; take more images", "images")
    return views


def of_rows(name: str, test: Split, rows: Integer[np.ndarray, " M"], people: np.ndarray | None = None) -> View:
    """The test images at `rows` int [M]; the label is people's most frequent one if there are counts [N, K]."""
    labels = test.labels if people is None else people.argmax(axis=1)
    chosen = None if people is None else people[rows]
    source = digest("test", rows, *(() if chosen is None else (chosen,)))
    return View(name, 0, len(rows), source, lambda: (np.asarray(test.images[rows]), labels[rows]), chosen)


def corrupted(name: str, test: Split, rows: Integer[np.ndarray, " M"]) -> list[View]:
    """The test images at `rows` int [M] with a corruption of `corruptions.CORRUPTIONS`, a view for each severity."""

    def load(severity):
        return lambda: (corrupt(name, severity, np.asarray(test.images[rows])), test.labels[rows])

    return [View(name, one, len(rows), digest(VERSION, name, one, rows), load(one)) for one in SEVERITIES]
