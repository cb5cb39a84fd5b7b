"""Draws a plot by name from whatever has what it asks for."""

import inspect
from typing import TYPE_CHECKING, Any

from jaxattn.errors import lookup
from jaxattn.plots import PLOTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(name: str, *sources: Any) -> "Figure":
    """A plot of `PLOTS`; each of its arguments is taken from the first source that has an attribute of that name.

    Raises:
        InputError: where the name is not known.
        plots.canvas.NothingToDrawError: where there is nothing to draw, such as gates in a plain network.
        TypeError: where no source has what it asks for (see `drawable`).
    """
    plot = lookup("plot", name, PLOTS)
    given = {}
    for wanted in inspect.signature(plot).parameters:
        source = next((source for source in sources if _has(source, wanted)), None)
        if source is not None:
            given[wanted] = getattr(source, wanted)
    return plot(**given)


def drawable(name: str, *sources: Any) -> bool:
    """Whether the sources have all that a plot of `PLOTS` asks for."""
    return all(any(_has(source, wanted) for source in sources) for wanted in inspect.signature(PLOTS[name]).parameters)


def _has(source, name):
    return name in vars(source) or hasattr(type(source), name)  # computes nothing
