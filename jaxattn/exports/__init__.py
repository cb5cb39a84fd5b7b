"""Exports of a trained network: one module per format, which makes the contents of the exported files.

Within a major version of jaxattn, the names of arrays and of the keys in `config.json` stay the same (`safetensors`),
and so do those of the state dict (`torch`). JAX guarantees that a `stablehlo` file can be read by versions of JAX that
are up to 6 months newer, or up to 3 weeks older.
"""

from typing import NamedTuple


class Format(NamedTuple):
    """A format: the package that writes it, and the file that holds the weights."""

    package: str
    file: str


FORMATS = {
    "safetensors": Format("safetensors", "model.safetensors"),
    "torch": Format("torch", "model.pt"),
    "stablehlo": Format("flatbuffers", "model.stablehlo"),
}
