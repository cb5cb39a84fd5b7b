"""The model card: what a network is, how good it is, what it is not for, and the metadata for Hugging Face's hub.

Its first lines are YAML: https://huggingface.co/docs/hub/model-cards.
"""

import dataclasses
from typing import Any

from jaxattn import __version__
from jaxattn.attention.cost import parameters
from jaxattn.config import Config
from jaxattn.data.folder import PREFIX
from jaxattn.exports.template import listed, render
from jaxattn.metrics import wilson_interval
from jaxattn.report.reproduce import command
from jaxattn.report.sections import formula
from jaxattn.runs.result import balanced_if_unequal
from jaxattn.runs.run import Run


def card(run: Run, shape: tuple[int, int, int]) -> bytes:
    """The model card of a run, in Markdown.

    Args:
        run: the run whose network it is.
        shape: shape of an image, (H, W, 3).
    """
    return render(
        "card.md",
        run=run,
        shape=shape,
        parameters=parameters(run.variables["params"]),
        about=(type(run.model).__doc__ or "").partition("\n")[0].removesuffix("."),
        sites=[site.name for number, site in enumerate(run.model.sites(), 1) if run.model.attention_of(number)],
        formula=formula(run.config.attention),
        listed=listed(run.classes, "config.json"),
        command=command(dataclasses.replace(run.config, dataset=data_name(run), data_dir=Config.data_dir, init=None)),
        accuracy=None if run.result is None else _accuracy(run.result),
        version=__version__,
    )


def data_name(run: Run) -> str | None:
    """The data set as `Config.dataset` names it, without the path of a folder."""
    name = run.config.dataset
    return f"{PREFIX}{run.spec.name}" if name is not None and name.startswith(PREFIX) else name


def _accuracy(result: dict[str, Any]) -> dict[str, Any]:
    """The test accuracies, with the number of images and the interval if the result records that number.

    Balanced accuracy is None if the classes are of similar size.
    """
    accuracy, count = result["test_accuracy"], result.get("test_images")
    return {
        "value": accuracy,
        "count": count,
        "interval": None if count is None else wilson_interval(round(accuracy * count), count),
        "balanced": balanced_if_unequal(result),
        "superclass": result.get("test_superclass_accuracy"),
    }
