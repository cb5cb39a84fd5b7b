"""Lets timm be imported where torchvision is missing: its layers need none of it, its data pipeline does.

torchvision's releases fit one build of PyTorch each, so that installing it would replace the PyTorch that is there.
"""

import importlib.machinery
import importlib.util
import sys
import types
from unittest.mock import MagicMock


class _Empty(types.ModuleType):
    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()


class _Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Empty(spec.name)

    def exec_module(self, module):
        pass


if importlib.util.find_spec("torchvision") is None:
    sys.meta_path.append(_Finder())
