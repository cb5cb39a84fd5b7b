"""Attention modules, one method a file. `registry` lists them by name."""

from jaxattn.attention.gate import Gate
from jaxattn.attention.registry import ATTENTION
from jaxattn.attention.resolve import resolve

__all__ = ["ATTENTION", "Gate", "resolve"]
