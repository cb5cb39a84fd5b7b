"""The data sets by name, including `folder:DIR` and `package.module:NAME`."""

import contextlib
import importlib

from jaxattn.data import cifar10, cifar100, fashion_mnist, folder, shapes, svhn
from jaxattn.data.dataset import Dataset
from jaxattn.errors import InputError, described
from jaxattn.paths import local_path

DATASETS: dict[str, Dataset] = {
    "cifar10": cifar10.DATASET,
    "cifar100": cifar100.DATASET,
    "fashion-mnist": fashion_mnist.DATASET,
    "svhn": svhn.DATASET,
    "shapes": shapes.DATASET,
}
DEFAULT = "cifar10"


def start_reading(name: str | None, data_dir: str) -> None:
    """Starts, before JAX is imported, what `load` would wait for; errors are left to `load`.

    Args:
        name: of a data set; None for the default one. If it is not in `DATASETS`, nothing is started.
        data_dir: as users give it.
    """
    if dataset := DATASETS.get(name or DEFAULT):
        with contextlib.suppress(InputError, OSError):
            dataset.prepare(local_path(data_dir))


def is_own(name: str) -> bool:
    """Whether a name is that of a module outside this package, which `resolve` imports."""
    return ":" in name and not name.startswith((folder.PREFIX, "jaxattn."))


def resolve(name: str, image_size: str | None = None, skip_damaged: bool = False) -> Dataset:
    """A data set by name.

    Args:
        name: one of `DATASETS`; "folder:DIR" with your own images; or "package.module:NAME" of your own `Dataset`,
            which is imported.
        image_size, skip_damaged: of a folder (see `folder.dataset`).

    Raises:
        InputError: if the name is unknown or not that of a `Dataset`, or a folder holds no images in classes.
    """
    if name.startswith(folder.PREFIX):
        return folder.dataset(name.removeprefix(folder.PREFIX), image_size, skip_damaged)
    if image_size is not None or skip_damaged:
        setting = "skip_damaged" if image_size is None else "image_size"
        raise InputError(f"{setting} applies only to folder:DIR, got the data set {name}; leave it out", setting)
    if ":" not in name:
        if name not in DATASETS:
            known = f"{', '.join(DATASETS)}, folder:DIR and package.module:NAME"
            raise InputError(f"unknown dataset {name!r}; known are {known}", "dataset")
        return DATASETS[name]
    module, _, attribute = name.partition(":")
    try:
        value = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit, GeneratorExit) as error:  # a module of the user's own may raise anything
        raise InputError(f"dataset {name!r} cannot be imported: {described(error)}", "dataset") from error
    if not isinstance(value, Dataset):
        raise InputError(
            f"dataset {name!r} must be a jaxattn.data.dataset.Dataset, it is of type {type(value).__name__}", "dataset"
        )
    return value
