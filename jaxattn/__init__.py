"""Train, see and judge attention modules in a small CNN, in pure-functional JAX."""

import importlib
from typing import Any

__version__ = "0.2.0"

_MODULES = {
    "ATTENTION": "jaxattn.attention",
    "CNN": "jaxattn.networks",
    "Config": "jaxattn.config",
    "compare": "jaxattn.comparison.compare",
    "figure": "jaxattn.visualize",
    "fit": "jaxattn.runs.fit",
    "load_run": "jaxattn.runs.run",
    "resume": "jaxattn.runs.fit",
}
__all__ = ["ATTENTION", "CNN", "Config", "compare", "figure", "fit", "load_run", "resume"]


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used: `import jaxattn` itself loads nothing heavy."""
    if name not in _MODULES:
        raise AttributeError(f"module 'jaxattn' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
