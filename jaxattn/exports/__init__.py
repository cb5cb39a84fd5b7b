"""Exports of a trained network: one format a file, each of which makes the contents of the files to hand on.

Promised of each: within a major version of jaxattn, the names of arrays and of the keys in `config.json` stay
(`safetensors`), and so do those of the state dict (`torch`). A `stablehlo` file can be read as long as JAX promises it:
6 months by newer versions of JAX, 3 weeks by older ones.
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
