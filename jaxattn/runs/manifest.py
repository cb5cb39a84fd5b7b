"""The manifest of a run, `config.json`, and the claim of a folder for one run and one process."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

from jaxattn.config import Config
from jaxattn.data import folder as folders
from jaxattn.data.spec import Spec
from jaxattn.errors import InputError, first_line
from jaxattn.limits import TEXT, parse_json, read_bytes
from jaxattn.lock import exclusive_lock
from jaxattn.runs.code import Code, check_unchanged
from jaxattn.runs.formats import FORMAT, NEWER, WRITTEN_OUT, upgraded
from jaxattn.runs.history import Start, changes, parse_start
from jaxattn.runs.leftovers import is_empty
from jaxattn.runs.store import write_text

EXPORTS = ("model.safetensors", "model.pt", "model.stablehlo")  # each in its own folder


@final
@dataclasses.dataclass(frozen=True)
class Manifest:
    """The contents of `config.json`.

    Attributes:
        config: the requested configuration; `dataset` is the one used.
        data: the data set's facts.
        dataset_hash: SHA-256 of images and labels.
        starts: how it was started and resumed, in order; none in format 1.
        acts_on: the parameters that each ingredient of the recipe acts on (`program.ingredients`); none in formats 1
            and 2.
    """

    config: Config
    data: Spec
    dataset_hash: str
    starts: tuple[Start, ...] = ()
    acts_on: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def code(self) -> Code:
        """Digests of the modules that it was trained with last; empty if none was recorded."""
        return self.starts[-1].code if self.starts else {}

    def notes(self) -> list[str]:
        """What readers of its numbers must know, one sentence each: warnings, and what changed between starts."""
        notes = [*self.data.notes, *dict.fromkeys(warning for start in self.starts for warning in start.warnings)]
        return [*notes, *changes(self.starts)]

    def identity(self) -> str:
        """SHA-256 (hex) of what identifies this run: all but the data folder, the number of epochs and the starts."""
        config = {
            name: float(value) if isinstance(value, int) else value  # 1 and 1.0 are one learning rate
            for name, value in (WRITTEN_OUT | _given(self.config)).items()
            # A later version may have new fields that are None, or act as before.
            if value != NEWER.get(name) and name not in ("data_dir", "epochs")
        }
        if self.config.dataset and self.config.dataset.startswith(folders.PREFIX):
            config["dataset"] = folders.PREFIX  # it may have moved
        values = config, self.data.classes, self.data.image_shape, self.dataset_hash
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def header(self) -> dict[str, str]:
        """What a checkpoint records of its run: its identity, and a digest of facts that the images do not contain."""
        numbers = [round(one, 6) for one in (*self.data.mean, *self.data.std)]  # another machine may round differently
        facts = json.dumps([numbers, self.data.superclasses])
        return {"run": self.identity(), "data": hashlib.sha256(facts.encode()).hexdigest()}


def _given(config: Config) -> dict[str, Any]:
    return {name: value for name, value in config.to_json().items() if value is not None}


@contextlib.contextmanager
def claim(folder: Path, manifest: Manifest, accept_changed_code: bool = False) -> Iterator[Manifest]:
    """Claims `folder` for this run, which may already be in it, perhaps with fewer epochs.

    Until the context ends, no other process can claim it (see `jaxattn.lock`). Yields the manifest with the starts
    that the folder records.

    Raises:
        InputError: if it holds anything else, another process trains in it, or it cannot be written or read back.
            Nothing in it is changed then.
    """
    with contextlib.ExitStack() as contexts:
        try:
            _text(manifest)
            check_folder(folder, manifest, accept_changed_code)  # another run's folder gets no lock file
            folder.mkdir(parents=True, exist_ok=True)
            contexts.enter_context(exclusive_lock(folder))
            manifest = check_folder(folder, manifest, accept_changed_code)
            for name in ("config.json", "metrics.jsonl", "result.json"):
                for draft in folder.glob(f"{name}.*.part"):  # left by a process that was killed
                    draft.unlink()
            write_manifest(folder, manifest)
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
        yield manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes `config.json`."""
    write_text(folder / "config.json", _text(manifest))


def _text(manifest: Manifest) -> str:
    """The contents of `config.json`; raises `InputError` if they could not be read back."""
    values = dataclasses.asdict(manifest)
    try:
        text = json.dumps({"format": FORMAT, **values.pop("config"), **values}, indent=2) + "\n"
        if len(text) > TEXT or parse_manifest(text.encode()).identity() != manifest.identity():
            raise ValueError("it would be too long, or another run's")
        return text
    except (TypeError, ValueError) as error:
        raise InputError(
            f"config.json of this run could not be read back: {first_line(error)}; rename that class or data set"
        ) from error


def check_folder(folder: Path, manifest: Manifest, accept_changed_code: bool = False) -> Manifest:
    """The manifest with the starts of the folder, which must be new or empty, or hold an earlier part of this run.

    Raises:
        InputError: if it holds anything else.
        OSError: if it cannot be read.
    """
    if (folder / "config.json").exists():
        old = read_manifest(folder)
        check_continues(folder, old, manifest, "out")
        check_unchanged(old.code, manifest.config, folder, accept_changed_code)
        return dataclasses.replace(manifest, starts=old.starts)
    if folder.exists() and not (folder.is_dir() and is_empty(folder)):
        raise InputError(f"{folder} is not a run folder; choose an empty or a new one", "out")
    return manifest


def check_continues(folder: Path, old: Manifest, new: Manifest, setting: str) -> None:
    """Checks that a run may resume what a folder holds.

    Args:
        folder: the folder that holds `old`.
        old: the manifest of the run in it.
        new: the manifest of the run that is to resume.
        setting: the argument that names the folder.

    Raises:
        InputError: if it is another run, or one of more epochs.
    """
    if old.identity() != new.identity():
        raise InputError(f"{folder} holds a run {_difference(old, new)}; choose another folder", setting)
    if new.config.epochs < old.config.epochs:
        raise InputError(
            f"epochs cannot be reduced: {folder} was started with {old.config.epochs}, got {new.config.epochs}",
            "epochs",
        )


def _difference(old: Manifest, new: Manifest) -> str:
    moved = all((one.config.dataset or "").startswith(folders.PREFIX) for one in (old, new))
    free = ("data_dir", "epochs", "dataset") if moved else ("data_dir", "epochs")
    for name, value in old.config.to_json().items():
        if name not in free and value != getattr(new.config, name):
            return f"with {name} {value}, not {getattr(new.config, name)}"
    return "on other images (their hash differs)" if old.dataset_hash != new.dataset_hash else "of other classes"


def read_manifest(folder: Path) -> Manifest:
    """The contents of `config.json`.

    Raises:
        InputError: if the folder holds no run, or a damaged one.
    """
    try:
        return parse_manifest(read_bytes(folder / "config.json", TEXT))
    except InputError as error:  # raised for a value in it
        raise InputError(f"{folder / 'config.json'}: {error}; start a new run") from error
    except (OSError, ValueError) as error:
        exported = [name for name in EXPORTS if (folder / name).exists()]
        if exported:
            what = f"holds an export, {exported[0]}, and no run"
            raise InputError(f"{folder} {what}; name the folder of the run that was exported") from error
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise InputError(f"{folder} holds no run: there is no config.json in it") from error
        raise InputError(f"{folder / 'config.json'} is damaged: {first_line(error)}; start a new run") from error


def parse_manifest(content: bytes) -> Manifest:
    """The manifest that the bytes of a `config.json` hold.

    Raises:
        InputError: if a value of the configuration is not known.
        ValueError: if they hold no manifest.
    """
    try:
        values = upgraded(parse_json(content))
        starts, data, digest = (values.pop(name) for name in ("starts", "data", "dataset_hash"))
        acts_on = {str(name): tuple(map(str, names)) for name, names in values.pop("acts_on", {}).items()}
        return Manifest(
            Config.from_json(values), Spec.from_json(data), digest, tuple(map(parse_start, starts)), acts_on
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
