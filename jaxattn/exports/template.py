"""Texts that are exported with a network, from the folder `templates`."""

import importlib.resources
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jaxattn.templates import texts

SHOWN = 20  # classes that a text names


def render(name: str, **values: Any) -> bytes:
    """A Markdown template with its values filled in, in UTF-8."""
    return texts("jaxattn.exports").get_template(name).render(**values).encode()


def listed(classes: Sequence[str], file: str) -> str:
    """Names of the classes [K] for a text; of many, only the first, and the file that has them all."""
    shown = ", ".join(classes[:SHOWN])
    return shown if len(classes) <= SHOWN else f"{shown} and {len(classes) - SHOWN:,} more, all in `{file}`"


def with_settings(name: str, settings: Mapping[str, Any]) -> bytes:
    """A Python template with the given values in its lines `NAME = value`, in UTF-8.

    Raises:
        ValueError: if it lacks one of these lines.
    """
    text = (importlib.resources.files("jaxattn.exports") / "templates" / name).read_text("utf-8")
    for key, value in settings.items():
        lines = list(re.finditer(rf"^{key} = [^#\n]*?(?=  #|$)", text, re.MULTILINE))
        if len(lines) != 1:
            raise ValueError(f"{name} must have one line {key} = ..., it has {len(lines)}")
        text = f"{text[: lines[0].start()]}{key} = {value!r}{text[lines[0].end() :]}"
    return text.encode()
