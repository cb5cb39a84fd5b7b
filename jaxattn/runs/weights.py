"""The weights that a run starts from: those of another run, of an export, or of a PyTorch file."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxattn.array_file import parse_safetensors
from jaxattn.convert import load_torch
from jaxattn.errors import InputError, first_line
from jaxattn.limits import WEIGHTS, read_bytes
from jaxattn.paths import local_path
from jaxattn.runs import checkpoint
from jaxattn.runs.checkpoint import name_of, named
from jaxattn.runs.console import Console
from jaxattn.runs.manifest import Manifest
from jaxattn.runs.run import read_variables
from jaxattn.training.program import network
from jaxattn.training.state import TrainState

FILES = ("model.safetensors", "model.pt")  # of exports
Arrays = dict[str, np.ndarray]  # by name, such as "params/block_1/conv/kernel"


def shapes(manifest: Manifest) -> Any:
    """The shapes and types of the variables of a run's network; no weights are drawn."""
    model = network(manifest.config, manifest.data)
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *manifest.data.image_shape)))


def find(manifest: Manifest, folder: Path) -> Arrays | None:
    """The weights that a run starts from, by its `init`; None if it has none, or its folder holds a complete epoch.

    Raises:
        InputError: if they cannot be read, or none of their parameters fits the run's network.
    """
    source = manifest.config.init
    if source is None or checkpoint.epochs(folder / "checkpoints"):
        return None
    arrays = read(source, manifest.data.image_shape)
    if not any(name.startswith("params/") for name in _fitting_names(arrays, shapes(manifest))):
        raise InputError(
            f"no parameter of {source} has the name and the shape of one of this network; choose other weights", "init"
        )
    return arrays


def located(source: str | Path) -> Path:
    """The path of a run folder, an export or a file of weights.

    Raises:
        InputError: if there is nothing.
    """
    path = local_path(source, "init")
    if not path.exists():
        raise InputError(f"there are no weights at {path}; choose a run, an export or a file", "init")
    return path


def read(source: str | Path, image_shape: tuple[int, int, int] | None = None) -> Arrays:
    """The weights of a run folder (those that were tested), of an export, or of a file of PyTorch weights.

    Args:
        source: the folder or the file.
        image_shape: (H, W, 3) of the network that takes them over; None for a square image.

    Raises:
        InputError: if it is none of these, or damaged.
    """
    file = path = located(source)
    if path.is_dir():
        exported = [path / name for name in FILES if (path / name).exists()]
        if not exported:
            return read_variables(path)
        file = exported[0]
    arrays = read_safetensors(file) if file.suffix == ".safetensors" else {}
    return arrays if any(name.startswith("params/") for name in arrays) else named(load_torch(file, image_shape))


def read_safetensors(file: Path) -> Arrays:
    """The arrays [...] of a safetensors file, by name.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return parse_safetensors(read_bytes(file, WEIGHTS))
    except InputError:
        raise
    except Exception as error:  # a damaged file may make the reader raise anything
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"{file} cannot be read as safetensors: {reason}") from error


def take_over(state: TrainState, arrays: Arrays | None, source: str | None, console: Console) -> TrainState:
    """A state that takes over every parameter and statistic of the weights that has the same name and shape.

    The rest stays as it is; the average, if there is one, starts at the state's new variables. A line on the console
    says what was taken over.

    Args:
        state: a new run's initial state.
        arrays: from `find`; with None the state is returned as it is.
        source: where they are from.
        console: where the line goes.
    """
    if arrays is None:
        return state
    variables = {"params": state.params, **state.collections}
    fitting = _fitting_names(arrays, variables)

    def chosen(path, leaf):
        return np.array(arrays[name_of(path)], leaf.dtype) if name_of(path) in fitting else leaf

    variables = jax.tree.map_with_path(chosen, variables)
    console.line(_summary(dict(_leaves(variables)), arrays, fitting, source))
    average = jax.tree.map(np.array, variables) if state.average else {}  # copies: the state is donated
    return state.replace(params=variables.pop("params"), collections=variables, average=average)


def _leaves(variables: Any) -> Iterator[tuple[str, Any]]:
    return ((name_of(path), leaf) for path, leaf in jax.tree.leaves_with_path(variables))


def _fitting_names(arrays: Arrays, variables: Any) -> set[str]:
    return {name for name, leaf in _leaves(variables) if name in arrays and arrays[name].shape == leaf.shape}


def _summary(own: dict[str, Any], arrays: Arrays, fitting: set[str], source: str | None) -> str:
    sizes = {name: leaf.size for name, leaf in own.items() if name.startswith("params/")}
    count = sum(sizes[name] for name in sizes.keys() & fitting)
    parts = [f"{count:,} of {sum(sizes.values()):,} parameters taken over from {source}"]
    for what, names in (("new here", own), ("left out", arrays)):
        if names.keys() - fitting:
            parts.append(f"{what}: {', '.join(dict.fromkeys(_unmatched_modules(names, fitting)))}")
    return "; ".join(parts)


def _unmatched_modules(names: Iterable[str], fitting: Collection[str]) -> Iterator[str]:
    """The names that do not fit, shortened to the largest modules in which no name fits."""
    used = {name.partition("/")[2] for name in fitting}
    for name in names:
        if name not in fitting:
            parts = name.split("/")[1:]
            longer = ("/".join(parts[:i]) for i in range(1, len(parts)))
            yield next((one for one in longer if not any(x.startswith(f"{one}/") for x in used)), "/".join(parts))
