"""The files of a run folder, besides its checkpoints and pictures."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

from jaxattn.config import Config
from jaxattn.errors import InputError
from jaxattn.lock import alone_in


@final
@dataclasses.dataclass(frozen=True)
class Header:
    """What a run is: the contents of `config.json`.

    Attributes:
        config: what was asked for; `dataset` is the one used.
        classes: names of the classes [K].
        image_shape: (H, W, 3).
        dataset_hash: SHA-256 of pictures and labels.
    """

    config: Config
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    dataset_hash: str

    def same_run(self, other: "Header") -> bool:
        """Whether both describe one run: where the data lies and how many epochs are asked for may differ."""

        def identity(header):
            config = dataclasses.replace(header.config, data_dir="", epochs=1)
            return config, header.classes, header.image_shape, header.dataset_hash

        return identity(self) == identity(other)


@contextlib.contextmanager
def claim(folder: Path, header: Header) -> Iterator[None]:
    """Makes `folder` the folder of this run, or finds that it already is, perhaps with fewer epochs.

    Until the context is left, no other process can claim it (see `jaxattn.lock`).

    Raises:
        InputError: where it holds anything else, another process trains in it, or it cannot be written. Nothing in it
            is touched then.
    """
    with contextlib.ExitStack() as held:
        try:
            if folder.exists() and not folder.is_dir():
                raise InputError(f"{folder} is not the folder of a run; name an empty or a new one with --out")
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(alone_in(folder))
            _check(folder, header)
            values = dataclasses.asdict(header)
            write_json(folder / "config.json", {**values.pop("config"), **values})
            (folder / "checkpoints").mkdir(exist_ok=True)
            (folder / "metrics.jsonl").touch()
        except BlockingIOError as error:
            raise InputError(
                f"another process is training in {folder}; wait for it or stop it, or name another folder with --out"
            ) from error
        except OSError as error:
            raise InputError(
                f"cannot write the run folder {folder}: {error.strerror}; name another with --out"
            ) from error
        yield


def _check(folder, header):
    """Raises an InputError where the folder holds anything but an earlier part of this run."""
    if not (folder / "config.json").exists():
        if any(path.name != "config.json.part" for path in folder.iterdir()):
            raise InputError(f"{folder} is not the folder of a run; name an empty or a new one with --out")
        return
    old = read_header(folder)
    if not old.same_run(header):
        raise InputError(f"{folder} holds a run {_difference(old, header)}; name another folder with --out")
    if header.config.epochs < old.config.epochs:
        raise InputError(
            f"epochs may only grow: {folder} was started with {old.config.epochs}, got {header.config.epochs}"
        )


def _difference(old: Header, new: Header) -> str:
    for name, value in old.config.to_json().items():
        if name not in ("data_dir", "epochs") and value != getattr(new.config, name):
            return f"with {name} {value}, not {getattr(new.config, name)}"
    return "on other pictures (their hash differs)"


def read_header(folder: Path) -> Header:
    """The contents of `config.json`.

    Raises:
        InputError: where the folder holds no run, or a damaged one.
    """
    try:
        values = json.loads((folder / "config.json").read_text())
        classes, shape, digest = values.pop("classes"), values.pop("image_shape"), values.pop("dataset_hash")
        return Header(Config.from_json(values), tuple(classes), tuple(shape), digest)
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no run: config.json is not there") from error
    except (OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{folder / 'config.json'} is damaged: {error!r}; start a new run") from error


def read_metrics(folder: Path, epochs: int) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl` for epochs 1..`epochs`; what a killed process wrote beyond them is left out.

    Raises:
        InputError: where lines are missing or damaged.
    """
    try:
        lines = (folder / "metrics.jsonl").read_text().splitlines()[:epochs]
        metrics = [json.loads(line) for line in lines]
        if [line["epoch"] for line in metrics] != list(range(1, epochs + 1)):
            raise ValueError(f"it must have a line for each of the {epochs} epochs")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / 'metrics.jsonl'} is damaged: {error}; start a new run") from error
    return metrics


def write_metrics(folder: Path, metrics: list[dict[str, Any]]) -> None:
    """Writes `metrics.jsonl`, whole or not at all."""
    write_text(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in metrics))


def read_result(folder: Path) -> dict[str, Any] | None:
    """The contents of `result.json`; None where the run has not ended.

    Raises:
        InputError: where it is damaged.
    """
    path = folder / "result.json"
    try:
        return json.loads(path.read_text()) if path.exists() else None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}; delete it and resume the run, which writes it anew") from error


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes a JSON file, whole or not at all."""
    write_text(path, json.dumps(values, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all; letters that UTF-8 does not have become question marks."""
    draft = path.with_name(path.name + ".part")
    draft.write_bytes(text.encode(errors="replace"))
    os.replace(draft, path)
