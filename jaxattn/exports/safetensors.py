"""A network as safetensors, with its configuration and a model card for Hugging Face's hub.

Arrays are named by their path in the network: `params/block_1/conv/kernel`, `batch_stats/block_1/norm/mean`. Names and
layouts, and the keys of `config.json`, stay within a major version of jaxattn.
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxattn import __version__
from jaxattn.config import Config
from jaxattn.data.spec import Spec
from jaxattn.errors import InputError, described
from jaxattn.exports import FORMATS
from jaxattn.exports.card import card, data_name
from jaxattn.limits import read_json
from jaxattn.paths import local_path
from jaxattn.runs.checkpoint import name_of, named
from jaxattn.runs.code import Code, check_trusted, check_unchanged
from jaxattn.runs.formats import completed
from jaxattn.runs.manifest import Manifest
from jaxattn.runs.run import Run
from jaxattn.runs.weights import read_safetensors, shapes
from jaxattn.training.program import network

FILE = FORMATS["safetensors"].file


def contents(run: Run, shape: tuple[int, int, int]) -> dict[str, bytes]:
    """The files to write, by name: weights, configuration and model card.

    Paths on this machine are left out of the configuration: the data folder, and all but the last name of `init` and of
    a data set that is a folder.

    Args:
        run: the run whose network it is.
        shape: shape of an image, (H, W, 3).
    """
    from safetensors.numpy import save

    of_code = check_unchanged(run.code, run.config, run.folder, accept_changed_code=True)  # which `load` finds again
    config = run.config.to_json()
    del config["data_dir"]
    config["dataset"] = data_name(run)
    config["init"] = config["init"] and Path(config["init"]).name
    values = {
        "jaxattn": __version__,
        "config": config,
        "code": run.code,
        "notes": [note for note in run.notes if note not in of_code],
        "data": run.spec.to_json(),
        "epoch": run.epoch,
        "result": run.result,
    }
    arrays = {name: value.copy(order="C") for name, value in named(run.variables).items()}  # written in memory order
    return {
        FILE: save(arrays, metadata={"format": "flax", "jaxattn": __version__}),
        "config.json": (json.dumps(values, indent=2) + "\n").encode(),
        "README.md": card(run, shape),
    }


def load(folder: str | Path, *, trust_code: bool = False, accept_changed_code: bool = False) -> Run:
    """An export as a `Run`, whose weights equal the exported ones bit for bit.

    Args:
        folder: the folder of the export.
        trust_code, accept_changed_code: as for `load_run`.

    Returns:
        The run, without metrics.

    Raises:
        InputError: if the folder holds no export, one that is damaged or of another version, or the code of its
            attention is not trusted or has changed.
    """
    folder = local_path(folder)
    manifest, epoch, result, code, notes = _read_config(folder / "config.json")
    check_trusted(manifest.config, folder, trust_code)
    notes += check_unchanged(code, manifest.config, folder, accept_changed_code)
    arrays, like = read_safetensors(folder / FILE), shapes(manifest)
    wanted = {name_of(path): leaf for path, leaf in jax.tree.leaves_with_path(like)}
    for name in sorted(wanted.keys() | arrays.keys()):
        stored, needed = (_kind(tree[name]) if name in tree else None for tree in (arrays, wanted))
        if stored != needed:
            raise InputError(f"{folder / FILE} is of another network or version: {name:.80} is {stored}, not {needed}")
    variables = jax.tree.map_with_path(lambda path, leaf: jnp.asarray(arrays[name_of(path)], leaf.dtype), like)
    model = network(manifest.config, manifest.data)
    about = manifest.config, manifest.data, model
    return Run(folder, *about, variables, epoch, [], result, tuple(notes), code=code)


def _kind(array: Any) -> str:
    return f"{array.shape} {array.dtype}"


def _read_config(path: Path) -> tuple[Manifest, int, dict[str, Any] | None, Code, list[str]]:
    try:
        values = read_json(path)
        config = Config.from_json({"data_dir": Config.data_dir, **completed(values["config"])})
        facts = values.get("data") or _of_version_1(values, config)
        result, epoch, code = values["result"], values["epoch"], values["code"]
        notes = [str(note) for note in values.get("notes", [])]  # earlier versions wrote none
        if type(epoch) is not int or not (result is None or isinstance(result, dict)) or not isinstance(code, dict):
            raise ValueError(f"epoch must be a whole number, result and code objects, found {epoch!r:.40}")
        manifest = Manifest(config, Spec.from_json(facts), dataset_hash="")
        return manifest, epoch, result, code, notes
    except FileNotFoundError as error:
        raise InputError(f"{path.parent} holds no export: there is no config.json in it") from error
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is damaged, or is not of an export: {described(error)}") from error


def _of_version_1(values: dict[str, Any], config: Config) -> dict[str, Any]:
    """The facts of the data set in an export of version 0.1."""
    known = {name: values[name] for name in ("classes", "image_shape", "mean", "std")}
    return known | {"name": config.dataset, "train": None, "test": None}
