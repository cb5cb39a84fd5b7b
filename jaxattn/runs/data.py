"""The data of a run: loaded, divided into the splits that train and are monitored, and read again."""

import dataclasses
import os
from pathlib import Path

from jaxattn.config import Config
from jaxattn.data import DATASETS
from jaxattn.data.splits import Split, Splits, hold_out
from jaxattn.errors import InputError, UnavailableError, lookup
from jaxattn.runs.console import Console
from jaxattn.runs.manifest import read_manifest


def load_data(config: Config, console: Console) -> tuple[Config, Splits]:
    """The data set of a configuration, and the configuration with its name and absolute paths.

    Raises:
        InputError: where the data set is not known, damaged, or was asked for by name and is not available.
    """
    given = {name: getattr(config, name) for name in ("data_dir", "init") if getattr(config, name) is not None}
    # The home is another one for another user; what a relative path means must not be.
    kept = {name for name, path in given.items() if path.startswith("~") or "://" in path}  # what reads it refuses that
    absolute = {name: os.path.abspath(path) for name, path in given.items() if name not in kept}
    config = dataclasses.replace(config, **absolute)
    folder = Path(os.path.expanduser(config.data_dir))

    def load(name):
        try:
            return dataclasses.replace(config, dataset=name), lookup("dataset", name, DATASETS)(folder)
        except OSError as error:
            raise InputError(f"cannot read {folder}: {error.strerror}; choose another folder", "data_dir") from error

    try:
        return load(config.dataset or "cifar10")
    except UnavailableError as error:
        if config.dataset is not None:
            raise
        console.warn(f"no CIFAR-10 here: training on the built-in data set shapes instead.\n{error}")
        return load("shapes")


def divide(config: Config, splits: Splits) -> tuple[Split, Split]:
    """The training and the monitored split: a part held out of train, which may be empty, or the test set.

    Raises:
        InputError: where one would be too small.
    """
    if config.monitor == "test":
        train, monitored = splits.train, splits.test
    else:
        train, monitored = hold_out(splits.train, held_out(config, len(splits.train)), config.seed)
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


def read_test(folder: Path, data_dir: str | None = None) -> Split:
    """The test set of the run in a folder, read again; `data_dir` is where the data is, if it has moved.

    Raises:
        InputError: where the data is not available, or is not what the run was trained on.
    """
    manifest = read_manifest(folder)
    config = manifest.config if data_dir is None else dataclasses.replace(manifest.config, data_dir=data_dir)
    console = Console()
    with console.showing_log():
        _, splits = load_data(config, console)
    if splits.digest() != manifest.dataset_hash:
        raise InputError(
            f"the images of {config.dataset} in {config.data_dir} are not those that {folder} was trained on (their "
            "hash differs); choose their folder",
            "data_dir",
        )
    return splits.test
