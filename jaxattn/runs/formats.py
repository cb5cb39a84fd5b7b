"""The formats of `config.json` that earlier versions wrote, and how they are converted."""

from typing import Any

from jaxattn.data import cifar10
from jaxattn.errors import InputError

FORMAT = 4
#: Fields of `Config` that earlier formats did not have, with the values that act as before.
NEWER: dict[str, Any] = {
    "network": "cnn",
    "image_size": None,
    "skip_damaged": False,
    "cutout": 0,
    "mixup": 0.0,
    "momentum": 0.9,
    "milestones": "0.5,0.75",
    "milestone_factor": 0.1,
    "attention_start": "usual",
}
#: What the defaults of these fields were before they became None.
WRITTEN_OUT = {"attention_at": "1,2,3", "attention_position": "before"}


def upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """The contents of a `config.json` of any format, converted to format 4.

    Format 1 had no `format` and no `starts`. Formats 1 and 2 had classes and the shape of images instead of the data
    set's facts: all data sets were normalised like CIFAR-10. Before format 4, there was only one network.

    Raises:
        InputError: if the format is not known.
        KeyError: if a value is missing.
    """
    written = values.pop("format", 1)
    if written == FORMAT:
        return values
    if written not in (1, 2, 3):
        raise InputError(f"it is of format {written!r}, and this version of jaxattn reads formats up to {FORMAT}")
    values = {"starts": [], **completed(values)}
    if written == 3:
        return values
    facts = {name: values.pop(name) for name in ("classes", "image_shape")}
    facts |= {"name": values["dataset"], "train": None, "test": None}
    facts |= {"mean": cifar10.SPEC.mean, "std": cifar10.SPEC.std}
    return {**values, "data": facts}


def completed(values: dict[str, Any]) -> dict[str, Any]:
    """The fields of a `Config` that any version wrote, with newer fields added."""
    if "network" in values:
        return values
    as_now = {name: None for name, default in WRITTEN_OUT.items() if values.get(name) == default}
    return {**NEWER, **values, **as_now}
