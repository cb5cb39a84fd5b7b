"""The manifest of a run, `config.json`, and the claim of a folder for one run and one process."""

import contextlib
import dataclasses
import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import final

from jaxattn.config import Config
from jaxattn.errors import InputError
from jaxattn.lock import exclusive_lock
from jaxattn.runs.leftovers import is_empty
from jaxattn.runs.store import write_json

EXPORTS = ("model.safetensors", "model.pt", "model.stablehlo")  # each in a folder of its own


@final
@dataclasses.dataclass(frozen=True)
class Manifest:
    """The contents of `config.json`.

    Attributes:
        config: what was asked for; `dataset` is the one used.
        classes: names of the classes [K].
        image_shape: (H, W, 3).
        dataset_hash: SHA-256 of images and labels.
    """

    config: Config
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    dataset_hash: str

    def same_run(self, other: "Manifest") -> bool:
        """Whether both describe one run: the data folder and the number of epochs may differ."""

        def identity(manifest):
            config = dataclasses.replace(manifest.config, data_dir="", epochs=1)
            return config, manifest.classes, manifest.image_shape, manifest.dataset_hash

        return identity(self) == identity(other)


def default_folder(config: Config) -> Path:
    """Where a run goes that is given no folder: `runs/<date>-<dataset>-<attention>-s<seed>`."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = config.attention.replace(":", "-")
    return Path("runs", f"{stamp}-{config.dataset}-{name}-s{config.seed}")


@contextlib.contextmanager
def claim(folder: Path, manifest: Manifest) -> Iterator[None]:
    """Makes `folder` the folder of this run, or finds that it already is, perhaps with fewer epochs.

    Until the context ends, no other process can claim it (see `jaxattn.lock`).

    Raises:
        InputError: where it holds anything else, another process trains in it, or it cannot be written. Nothing in it
            is changed then.
    """
    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(exclusive_lock(folder))
            check_folder(folder, manifest)
            values = dataclasses.asdict(manifest)
            write_json(folder / "config.json", {**values.pop("config"), **values})
            (folder / "checkpoints").mkdir(exist_ok=True)
            (folder / "metrics.jsonl").touch()
        except BlockingIOError as error:
            raise InputError(
                f"another process is training in {folder}; wait for it or stop it, or choose another folder", "out"
            ) from error
        except FileExistsError as error:
            raise InputError(f"{folder} is not a run folder; choose an empty or a new one", "out") from error
        except OSError as error:
            raise InputError(
                f"cannot write the run folder {folder}: {error.strerror}; choose another one", "out"
            ) from error
        yield


def check_folder(folder: Path, manifest: Manifest) -> None:
    """Checks that a folder is new or empty, or holds an earlier part of this run.

    Raises:
        InputError: where it holds anything else.
        OSError: where it cannot be read.
    """
    if (folder / "config.json").exists():
        check_continues(folder, read_manifest(folder), manifest, "out")
    elif folder.exists() and not (folder.is_dir() and is_empty(folder)):
        raise InputError(f"{folder} is not a run folder; choose an empty or a new one", "out")


def check_continues(folder: Path, old: Manifest, new: Manifest, setting: str) -> None:
    """Checks that a run may go on with what a folder holds of it.

    Args:
        folder: where `old` was found.
        old: of the run in it.
        new: of the run that wants to go on.
        setting: the argument that names the folder.

    Raises:
        InputError: where it is another run, or one of more epochs.
    """
    if not old.same_run(new):
        raise InputError(f"{folder} holds a run {_difference(old, new)}; choose another folder", setting)
    if new.config.epochs < old.config.epochs:
        raise InputError(
            f"epochs may only grow: {folder} was started with {old.config.epochs}, got {new.config.epochs}",
            "epochs",
        )


def _difference(old: Manifest, new: Manifest) -> str:
    for name, value in old.config.to_json().items():
        if name not in ("data_dir", "epochs") and value != getattr(new.config, name):
            return f"with {name} {value}, not {getattr(new.config, name)}"
    return "on other images (their hash differs)"


def read_manifest(folder: Path) -> Manifest:
    """The contents of `config.json`.

    Raises:
        InputError: where the folder holds no run, or a damaged one.
    """
    try:
        return parse_manifest((folder / "config.json").read_bytes())
    except InputError:  # of a value in it
        raise
    except (OSError, ValueError) as error:
        exported = [name for name in EXPORTS if (folder / name).exists()]
        if exported:
            what = f"holds an export, {exported[0]}, and no run"
            raise InputError(f"{folder} {what}; name the folder of the run that was exported") from error
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise InputError(f"{folder} holds no run: there is no config.json in it") from error
        raise InputError(f"{folder / 'config.json'} is damaged: {error!r}; start a new run") from error


def parse_manifest(data: bytes) -> Manifest:
    """The manifest that the bytes of a `config.json` hold.

    Raises:
        InputError: where a value of the configuration is not known.
        ValueError: where they hold no manifest.
    """
    try:
        values = json.loads(data)
        classes, shape, digest = values.pop("classes"), values.pop("image_shape"), values.pop("dataset_hash")
        if len(shape) != 3:
            raise TypeError(f"image_shape must be [H, W, 3], found {shape}")
        return Manifest(Config.from_json(values), tuple(classes), tuple(shape), digest)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
