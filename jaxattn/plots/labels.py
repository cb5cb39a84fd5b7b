"""Text on plots: names of classes, predictions and scores of maps."""

from jaxattn.explain.faithfulness import area
from jaxattn.explain.groups import class_names
from jaxattn.types import Predictions, Scores

SHORT = 11  # characters of a class name above an image


def prediction(predictions: Predictions, index: int) -> str:
    """Two lines on one image: its true class, if known, and the predicted class with its probability."""
    names, guess = class_names(predictions.classes, SHORT), predictions.predicted[index]
    predicted = f"{names[guess]} {predictions.probabilities[index, guess]:.0%}"
    if predictions.labels is None:
        return f"predicted\n{predicted}"
    return f"{names[predictions.labels[index]]}\n→ {predicted}"


def scores(values: Scores, index: int) -> str:
    """Two lines on one map: its areas under deletion and insertion, and its mass on the object if that is known."""
    first = f"del {area(values.deletion[index]):.2f}  ins {area(values.insertion[index]):.2f}"
    if values.mass_on_object is None or values.pointing is None:
        return first
    return f"{first}\non object {values.mass_on_object[index]:.0%}" + (" ✓" if values.pointing[index] >= 1 else "")


def with_scores(caption: str, predictions: Predictions) -> str:
    """A caption, and below it how to read `scores`."""
    note = "del, ins: areas under deletion (lower is better) and insertion (higher is better)"
    if predictions.masks is not None:
        note += "; on object: fraction of the attribution mass, ✓ where the maximum lies there"
    return f"{caption}\n{note}"
