"""The formats of `config.json` that earlier versions wrote, and what has become of them."""

from typing import Any

from jaxattn.data import cifar10
from jaxattn.errors import InputError

FORMAT = 3
#: Fields of `Config` that formats 1 and 2 did not have, as they acted then.
NEWER: dict[str, Any] = {
    "network": "cnn",
    "image_size": None,
    "skip_damaged": False,
    "cutout": 0,
    "mixup": 0.0,
    "momentum": 0.9,
    "milestones": "0.5,0.75",
    "milestone_factor": 0.1,
}


def upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """What a `config.json` of any format holds, as format 3 holds it.

    Format 1 had no `format` and no `starts`. Formats 1 and 2 had classes and the shape of images in place of the data
    set's facts: all data sets were normalised as CIFAR-10 is.

    Raises:
        InputError: where the format is not known.
        KeyError: where a value is missing.
    """
    written = values.pop("format", 1)
    if written == FORMAT:
        return values
    if written not in (1, 2):
        raise InputError(f"it is of format {written!r}, and this version of jaxattn reads formats up to {FORMAT}")
    facts = {name: values.pop(name) for name in ("classes", "image_shape")}
    facts |= {"name": values["dataset"], "train": None, "test": None}
    facts |= {"mean": cifar10.SPEC.mean, "std": cifar10.SPEC.std}
    return {"starts": [], **NEWER, **values, "data": facts}
