"""Weights to and from PyTorch: of the tutorial's network, of residual networks, and of our own export."""

from jaxattn.convert.exported import from_exported, to_exported
from jaxattn.convert.file import load_torch
from jaxattn.convert.flat import from_chw, to_chw
from jaxattn.convert.tutorial import from_torch, to_torch

__all__ = ["from_chw", "from_exported", "from_torch", "load_torch", "to_chw", "to_exported", "to_torch"]
