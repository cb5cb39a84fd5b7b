"""A whole run: its history, and its network's predictions, gates and scored maps over the test set."""

import dataclasses
import functools
from typing import final

import numpy as np

from jaxattn.data.splits import Split
from jaxattn.explain import inference
from jaxattn.explain.explanation import Explanation, Selection, caption
from jaxattn.explain.gate_history import read_history
from jaxattn.explain.gates import Signs
from jaxattn.explain.knockout import accuracy_lost, knockout_predictions
from jaxattn.explain.removal import removal
from jaxattn.explain.selection import balanced
from jaxattn.metrics import softmax
from jaxattn.runs.result import check_accuracy
from jaxattn.runs.run import Run
from jaxattn.types import Layer, MapKind, Predictions, Removal, ScoredMaps

SCORED = 64  # test images whose maps are scored
FEW = 500  # test images that are classified with channels removed, or gates replaced


@final
class History:
    """How a run was trained; needs no data.

    Attributes:
        caption: which run it is.
        metrics: one dict per epoch, as in `metrics.jsonl`.
        monitored: "validation", "test", or None for none.
        plateaus: epochs before which a plateau lowered the learning rate.
        epoch: the epoch whose weights are loaded.
    """

    def __init__(self, run: Run):
        """Takes a run."""
        self.caption, self.metrics = caption(run), run.metrics
        self.monitored, self.epoch = run.config.monitored, run.epoch
        self.plateaus = _plateaus(run) if run.config.schedule == "plateau" else []


@final
class Analysis:
    """A run's network over its test set. Expensive values are computed on first use.

    Attributes:
        classes: names of the classes [K].
        caption: which run it is.
        test_labels: int [N], the classes of the whole test set.
    """

    def __init__(self, run: Run, test: Split, selection: Selection | None = None, scored: int | None = None):
        """Takes a run and its test set. Only the layers of `selection` are used; maps of `scored` images are scored."""
        self.classes, self.caption, self.test_labels = run.classes, caption(run), test.labels
        self._run, self._test = run, test
        self._selection = dataclasses.replace(selection or Selection(), target=None)
        self._scored = scored or SCORED

    @functools.cached_property
    def tested(self) -> Predictions:
        """The test set, and the network's predictions for it.

        Raises:
            InputError: if the test accuracy in `result.json` is not that of the weights.
        """
        logits, run, test = self._predicted.logits, self._run, self._test
        if run.result is not None and run.result["tested_epoch"] == run.epoch:
            correct = int((logits.argmax(axis=1) == test.labels).sum())
            check_accuracy(run.folder, run.config, run.result, correct, len(test))
        superclasses = run.spec.superclasses
        return Predictions(test.images, softmax(logits), self.classes, test.labels, test.masks, superclasses)

    def some(self, rows: np.ndarray) -> Predictions:
        """The test images at `rows` int [n], with their predictions."""
        test, masks = self.tested, self._test.masks
        return test._replace(
            images=test.images[rows],
            probabilities=test.probabilities[rows],
            labels=self.test_labels[rows],
            masks=None if masks is None else masks[rows],
        )

    @property
    def gate_profiles(self) -> dict[Layer, np.ndarray]:
        """The weight of each channel for each test image, averaged over positions, {gate: [N, C]}.

        Without the gates that weight positions alone.
        """
        return self._predicted.gates_by_channel

    @functools.cached_property
    def signs(self) -> dict[Layer, Signs]:
        """The vital signs of each gate."""
        return self._predicted.signs(self.test_labels)

    @functools.cached_property
    def _predicted(self):
        return inference.predict(self._run.model, self._run.spec, self._run.variables, self._test.images)

    @property
    def gate_history(self) -> dict[int, dict[str, Signs]]:
        """The vital signs of the gates after each epoch before this one, if the run recorded them.

        Raises:
            InputError: if their file is damaged.
        """
        return read_history(self._run.folder, self._run.epoch - 1)

    @functools.cached_property
    def removals(self) -> dict[str, Removal]:
        """Accuracy on some test images as channels are removed, by site."""
        run, test = self._run, self._few
        return removal(run.model, run.spec, run.variables, test.images, test.labels)

    @functools.cached_property
    def gates_lost(self) -> dict[str, float]:
        """Points of accuracy that are lost on some test images with mean gates, as `knockout.accuracy_lost` names it.

        It is measured with all gates at once, and with those of each site alone.
        """
        run, test = self._run, self._few
        predicted = knockout_predictions(run.model, run.spec, run.variables, test.images, True, ("mean",))
        return accuracy_lost(predicted, test.labels)

    @property
    def _few(self):
        """The test images on which changed networks are tested."""
        rows = balanced(self.test_labels, FEW, self._run.spec.superclasses)
        return Split(self._test.images[rows], self._test.labels[rows])

    @functools.cached_property
    def scored(self) -> list[ScoredMaps]:
        """Every map of some test images with its scores, and "chance": pixels in random order."""
        run = self._run
        explained = Explanation(
            run, self.some(balanced(self.test_labels, self._scored, run.spec.superclasses)), self._selection
        )
        uniform = np.zeros(explained.predictions.images.shape[:3])
        chance = ScoredMaps(MapKind.CHANCE, None, uniform, uniform, explained.score(uniform, uniform))
        return [chance, *explained.maps]


def _plateaus(run: Run) -> list[int]:
    rates = [line["learning_rate"] for line in run.metrics]
    return [
        line["epoch"] for line, before in zip(run.metrics[1:], rates, strict=False) if line["learning_rate"] < before
    ]
