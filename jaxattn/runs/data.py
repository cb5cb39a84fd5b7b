"""The data of a run: loads it, divides it into the training and the monitored split, and reads it again."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from jaxattn.config import Config
from jaxattn.data import DEFAULT, is_own, resolve
from jaxattn.data.dataset import Dataset
from jaxattn.data.folder import PREFIX
from jaxattn.data.splits import Split, Splits, hold_out
from jaxattn.errors import InputError, UnavailableError, described
from jaxattn.paths import local_path, readable
from jaxattn.runs.console import Console
from jaxattn.runs.manifest import read_manifest


def with_absolute_paths(config: Config) -> Config:
    """The configuration with absolute paths, which mean the same in any working directory."""
    changed = {}
    for name in ("data_dir", "init"):
        path = getattr(config, name)
        # `~` is kept: another user has another home. An address is refused by whatever reads it.
        if path is not None and not path.startswith("~") and "://" not in path:
            changed[name] = os.path.abspath(path)
    if config.dataset is not None and config.dataset.startswith(PREFIX):
        path = config.dataset.removeprefix(PREFIX)
        changed["dataset"] = PREFIX + (path if path.startswith("~") or "://" in path else os.path.abspath(path))
    return dataclasses.replace(config, **changed)


def find(config: Config) -> Dataset:
    """The data set of a configuration, CIFAR-10 if none is named; nothing of it is read.

    Raises:
        InputError: if it is not known, or a folder holds no images.
    """
    return resolve(config.dataset or DEFAULT, config.image_size, config.skip_damaged)


@contextlib.contextmanager
def reading(config: Config, folder: Path) -> Iterator[None]:
    """Within this context, an error while the data set of a configuration is read is one that the user can fix.

    Args:
        config: names the data set.
        folder: the data folder.

    Raises:
        InputError: if the data cannot be read, or the user's own data set raises anything.
    """
    try:
        with readable(folder, "data_dir"):
            yield
    except InputError:
        raise
    except (Exception, SystemExit, GeneratorExit) as error:
        if not is_own(config.dataset or DEFAULT):
            raise
        raise InputError(f"dataset {config.dataset} cannot be read: {described(error)}", "dataset") from error


def load_data(config: Config, dataset: Dataset, console: Console) -> tuple[Config, Splits]:
    """The images of a data set, and the configuration with its name.

    Args:
        config: with absolute paths.
        dataset: from `find`.
        console: warns if another data set is used.

    Raises:
        InputError: if the data set is damaged, is not one, or was asked for by name and is not available.
    """
    folder = local_path(config.data_dir, "data_dir")
    try:
        with reading(config, folder):
            splits = dataset.load(folder)
    except UnavailableError as error:
        if config.dataset is not None:
            raise
        console.warn(f"no CIFAR-10 here: training on the built-in data set shapes instead.\n{error}")
        return dataclasses.replace(config, dataset="shapes"), resolve("shapes").load(folder)
    if not isinstance(splits, Splits):
        raise InputError(
            f"dataset {config.dataset}: load must return Splits, it returned a {type(splits).__name__}", "dataset"
        )
    return dataclasses.replace(config, dataset=config.dataset or DEFAULT), splits


def divide(config: Config, splits: Splits, lazy: bool = False) -> tuple[Split, Split]:
    """The training and the monitored split: a part held out of train, which may be empty, or the test set.

    Args:
        config: says how to divide it.
        splits: the data set.
        lazy: whether training images are read on demand; otherwise they are copied into memory.

    Raises:
        InputError: if one would be too small.
    """
    if config.monitor == "test":
        train, monitored = splits.train, splits.test
    else:
        train, monitored = hold_out(splits.train, held_out(config, len(splits.train)), config.seed, lazy)
    if config.monitored and not len(monitored):
        raise InputError(
            f"validation must hold out an image, {config.validation} of {len(splits.train)} is none", "validation"
        )
    if len(train) < config.batch_size:
        raise InputError(
            f"batch_size must be at most the {len(train)} training images, got {config.batch_size}", "batch_size"
        )
    return train, monitored


def held_out(config: Config, images: int) -> int:
    """How many of the training images are held out for validation."""
    return 0 if config.monitor == "test" else round(config.validation * images)


def moved(config: Config, data_dir: str | None) -> Config:
    """The configuration with the data in `data_dir`; unchanged if that is None."""
    if data_dir is None:
        return config
    if config.dataset is not None and config.dataset.startswith(PREFIX):
        return dataclasses.replace(config, dataset=PREFIX + data_dir)
    return dataclasses.replace(config, data_dir=data_dir)


def check_trusted_data(config: Config, folder: Path, trust_code: bool) -> None:
    """Checks that reading the data of a run imports no untrusted module.

    Args:
        config: configuration of the run.
        folder: the run folder, for messages.
        trust_code: whether its module may be imported.

    Raises:
        InputError: if one would be imported.
    """
    name = config.dataset or DEFAULT
    if is_own(name) and not trust_code and name.partition(":")[0] not in sys.modules:
        raise InputError(
            f"{folder} names the data set {name}, whose code would run; allow that if you trust its author",
            "trust_code",
        )


def read_test(folder: Path, data_dir: str | None = None, trust_code: bool = False) -> Split:
    """The test set of the run in a folder, read again.

    Args:
        folder: the run folder.
        data_dir: where the data is, if it has moved.
        trust_code: whether a data set's module outside this package may be imported.

    Raises:
        InputError: if the data is not available, or is not what the run was trained on.
    """
    manifest = read_manifest(folder)
    check_trusted_data(manifest.config, folder, trust_code)
    config = with_absolute_paths(moved(manifest.config, data_dir))
    console = Console()
    with console.showing_log():
        _, splits = load_data(config, find(config), console)
    if splits.digest() != manifest.dataset_hash:
        where = config.dataset if data_dir is None else data_dir
        raise InputError(
            f"the images of {config.dataset} in {where} are not those that {folder} was trained on (their hash "
            "differs); choose their folder",
            "data_dir",
        )
    return splits.test
