"""Files of PyTorch weights, as training programs save them: the state dict may be anywhere in a checkpoint."""

import io
import logging
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxattn.array_file import parse_npz, parse_safetensors
from jaxattn.convert.exported import ImageShape, from_exported
from jaxattn.convert.residual import from_residual
from jaxattn.convert.tutorial import from_torch
from jaxattn.errors import InputError, described, first_line
from jaxattn.limits import WEIGHTS, open_file, read_bytes
from jaxattn.paths import local_path

Arrays = dict[str, np.ndarray]

SAVE = "save the weights alone: torch.save(model.state_dict(), 'weights.pt')"
DEPTH = 4  # of dicts in dicts
MAX_PICKLE = 2 << 20  # bytes of objects other than values, which take up to 70 times that; of 10,000 tensors 1.4 MB
MAX_TENSORS = 2 * WEIGHTS  # bytes of all tensors, those of half precision as float32; several may share their memory
AVERAGE = re.compile(r"(?<![a-z])(ema|swa)(?![a-z])|averag", re.IGNORECASE)
_LOG = logging.getLogger("jaxattn")


def load_torch(path: str | Path, image_shape: ImageShape = None) -> dict[str, Any]:
    """The variables of `CNN`, or of a residual network, from a file of PyTorch weights.

    Of several sets of weights in it, the one that fits this network is taken; of several that fit, an average (such as
    "ema"), else the first, and the log says which.

    Args:
        path: `.npz` or `.safetensors` with one array per tensor, or what `torch.save` wrote (`.pt`, `.pth`, `.th`,
            `.pth.tar`, `.bin`, `.ckpt`; needs torch): a state dict, at the top or anywhere in a checkpoint.
        image_shape: (H, W, 3) of the network that receives the weights; None for a square image.

    Returns:
        As `from_torch` does; of our own export, also the parameters of any attention.

    Raises:
        InputError: if the file cannot be read, or its weights are not those of this network.
    """
    path = local_path(path)
    readers = {".npz": _read_npz, ".safetensors": _read_safetensors} | dict.fromkeys(
        (".pt", ".pth", ".th", ".tar", ".bin", ".ckpt"), _read_pickle
    )
    if path.suffix not in readers:
        raise InputError(f"{path}: weights must be one of {', '.join(readers)}, got {path.suffix or 'no suffix'!r}")
    try:
        contents = readers[path.suffix](path)
    except ImportError as error:
        raise InputError(f"{path} needs the package {error.name}: pip install {error.name}") from error
    except InputError:
        raise
    except Exception as error:  # readers raise many types for damaged files
        raise InputError(f"{path} cannot be read as {path.suffix}: {first_line(error)}") from error
    return _fitting_variables(path, contents, image_shape)


def _read_npz(path):
    arrays = parse_npz(read_bytes(path, WEIGHTS), WEIGHTS)
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise ValueError(f"arrays must hold real numbers, {name!r:.40} is {array.dtype}")
    return arrays


def _read_safetensors(path):
    return parse_safetensors(read_bytes(path, WEIGHTS))


def _read_pickle(path):
    """What `torch.save` wrote, tensors and plain values only. Torch's own error messages are never passed on.

    Raises:
        InputError: if it holds anything else.
    """
    import torch

    try:
        _check_pickles(path)
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (InputError, OSError):
        raise
    except Exception as error:
        name = re.search(r"GLOBAL ([\w.]+)", str(error))  # the first that is more than a tensor
        if name:
            raise InputError(f"{path} holds an object, {name[1]}, as well as or instead of weights; {SAVE}") from error
        reason = "it is damaged, or torch.save did not write it"
        raise InputError(f"{path} cannot be read as {path.suffix}: {reason}; {SAVE}") from error


def _check_pickles(path):
    """Checks how much memory a file of `torch.save` takes: what its archive unpacks to, and the pickles of its objects.

    Raises:
        InputError: if it is too large, or a program.
        Exception: of many types, if it is damaged.
    """
    with open_file(path, WEIGHTS) as file:
        head = file.read(MAX_PICKLE)
        if head.startswith(b"PK\3\4"):
            with zipfile.ZipFile(file) as archive:
                sizes = [(member.filename, member.file_size) for member in archive.infolist()]
            if any(name.endswith("/constants.pkl") for name, _ in sizes):
                raise InputError(f"{path} is a TorchScript archive, a program; {SAVE}")
            pickles = sum(size for name, size in sizes if name.endswith(".pkl"))
            if sum(size for _, size in sizes) > WEIGHTS or pickles > MAX_PICKLE:
                raise InputError(
                    f"{path} must unpack to at most {WEIGHTS:,} bytes and {MAX_PICKLE:,} of pickled objects; {SAVE}"
                )
        else:
            objects = io.BytesIO(head)
            for _ in range(5):  # of versions before 1.6: version, protocol, system, contents and names of tensors
                for _ in pickletools.genops(objects):
                    pass


def _fitting_variables(path: Path, contents: Any, image_shape: ImageShape) -> dict[str, Any]:
    """The variables of the set of weights in a file that fits."""
    fitting: dict[str, dict[str, Any]] = {}
    failures: dict[tuple[int, str], InputError] = {}
    for place, state in _in_file(path, contents):
        try:
            fitting[place] = from_exported(state, image_shape) or from_residual(state) or from_torch(state, image_shape)
        except InputError as error:
            failures[len(state), place] = error
        except Exception as error:  # names of this network with the arrays of another raise many types
            failures[len(state), place] = InputError(f"the weights are of another network ({described(error)})")
    if not fitting and failures:
        (_, place), largest = max(failures.items())
        raise InputError(f"{path}{f', {place}' if place else ''}: {largest}") from largest
    if not fitting:
        raise InputError(f"{path} contains no named arrays, but {_described(contents)}; {SAVE}")
    chosen = next((place for place in fitting if AVERAGE.search(place)), next(iter(fitting)))
    if len(fitting) > 1:
        places = " and ".join(place or "the top" for place in fitting)
        _LOG.info("%s holds weights under %s; those under %s are used", path, places, chosen or "the top")
    return fitting[chosen]


def _in_file(path, contents):
    try:
        yield from _state_dicts(contents)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _state_dicts(contents: Any) -> Iterator[tuple[str, Arrays]]:
    """Each dict of arrays by name in nested dicts and lists, once, with its place, such as "checkpoint.model".

    Raises:
        InputError: if a tensor cannot be an array of real numbers, or all together are too large.
    """
    level, seen, size = [("", contents)], set(), 0  # one dict or list may be in many others
    for _ in range(DEPTH):
        below = []
        for place, values in level:
            if id(values) in seen or not isinstance(values, Mapping | list | tuple):
                continue
            seen.add(id(values))
            if not isinstance(values, Mapping):
                values = {str(i): value for i, value in enumerate(values) if isinstance(value, Mapping)}  # noqa: PLW2901
            size += sum(4 * value.numel() for value in values.values() if hasattr(value, "numel"))
            if size > MAX_TENSORS:
                raise InputError(f"its tensors must have at most {MAX_TENSORS:,} bytes, they have {size:,}; {SAVE}")
            arrays = {name: _array(name, value) for name, value in values.items() if isinstance(name, str)}
            if arrays := {name: array for name, array in arrays.items() if array is not None}:
                yield place, arrays
            below += [(f"{place}.{name}".lstrip("."), value) for name, value in values.items()]
        level = below


def _array(name: str, value: Any) -> np.ndarray | None:
    """A tensor or an array as a NumPy array, float32 instead of smaller types; None for counters and anything else."""
    if hasattr(value, "detach") and not hasattr(value, "__jax_array__"):  # of PyTorch
        try:
            value = value.detach()
            value = (value.float() if value.is_floating_point() else value).cpu().numpy()
        except (RuntimeError, TypeError, NotImplementedError) as error:  # sparse, quantised, or without data
            raise InputError(
                f"the tensor {name} holds no plain numbers ({value.layout}, {value.device}); {SAVE}"
            ) from error
    if isinstance(value, np.ndarray) and value.dtype.kind == "c":
        raise InputError(f"arrays must hold real numbers, {name} is {value.dtype}; {SAVE}")
    if not isinstance(value, np.ndarray) or value.dtype.kind in "iubOSU":
        return None
    return value.astype(np.float32) if value.dtype.kind == "V" or value.dtype.itemsize < 4 else value


def _described(contents: Any) -> str:
    """The type of an object and, of a dict, what its first keys hold."""
    kind = type(contents).__name__
    if not isinstance(contents, Mapping):
        return f"a {kind}"
    parts = [f"{name} ({type(value).__name__})" for name, value in list(contents.items())[:5]]
    return f"a {kind} of {', '.join(map(str, parts)) or 'nothing'}"
