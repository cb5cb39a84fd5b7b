"""How a run's gates develop: their vital signs after each epoch."""

from typing import final

from jaxattn.data.splits import Split
from jaxattn.explain import inference
from jaxattn.explain.gate_history import read_history, write_history
from jaxattn.explain.selection import balanced
from jaxattn.runs.observer import Observer
from jaxattn.runs.run import Run

IMAGES = 1000


@final
class GateHistory(Observer):
    """Writes `gate_history.jsonl` in the run folder, from up to 1,000 test images, balanced over the classes."""

    def start(self, run: Run, test: Split) -> None:
        """Drops the entries of epochs that are trained again."""
        rows = balanced(test.labels, IMAGES, run.spec.superclasses)
        self._images, self._labels = test.images[rows], test.labels[rows]
        self._history = read_history(run.folder, run.epoch)

    def epoch(self, run: Run) -> None:
        """Adds an epoch."""
        predicted = inference.predict(run.model, run.spec, run.variables, self._images)
        self._history[run.epoch] = {str(gate): one for gate, one in predicted.signs(self._labels).items()}
        write_history(run.folder, self._history)
