"""The model card: what a network is, how good, and what it is not for, with the metadata that Hugging Face's hub reads.

Its first lines are YAML: https://huggingface.co/docs/hub/model-cards.
"""

import dataclasses
from typing import Any

from jaxattn import __version__
from jaxattn.attention.cost import parameters
from jaxattn.config import Config
from jaxattn.exports.template import render
from jaxattn.metrics import wilson_interval
from jaxattn.report.reproduce import command
from jaxattn.report.sections import formula
from jaxattn.runs.run import Run


def card(run: Run, shape: tuple[int, int, int]) -> bytes:
    """The model card of a run, in Markdown.

    Args:
        run: whose network it is.
        shape: of an image, (H, W, 3).
    """
    return render(
        "card.md",
        run=run,
        shape=shape,
        parameters=parameters(run.variables["params"]),
        formula=formula(run.config.attention),
        command=command(dataclasses.replace(run.config, data_dir=Config.data_dir, init=None)),
        accuracy=None if run.result is None else _accuracy(run.result),
        version=__version__,
    )


def _accuracy(result: dict[str, Any]) -> dict[str, Any]:
    """The test accuracy, with the number of images and the interval where a result says how many there were."""
    accuracy, count = result["test_accuracy"], result.get("test_images")
    interval = None if count is None else wilson_interval(round(accuracy * count), count)
    return {"value": accuracy, "count": count, "interval": interval}
