"""TensorBoard files of a run, without TensorFlow: curves, gates and maps of every epoch, and the result.

Each epoch is one file, `tensorboard/events.out.tfevents.<epoch>`, written atomically. So a run that was killed and
resumed, or restored from a mirror, shows every epoch once.
"""

import functools
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, final

import jax
import numpy as np

from jaxattn.data.augment import to_input
from jaxattn.data.spec import Spec
from jaxattn.data.splits import Split
from jaxattn.errors import InputError
from jaxattn.explain.capture import capture, mapped_layers
from jaxattn.explain.gates import gate_limits
from jaxattn.explain.maps import stretch, strongest
from jaxattn.explain.selection import balanced
from jaxattn.networks.network import Network
from jaxattn.observers.pictures import overlays
from jaxattn.runs.observer import Observer
from jaxattn.runs.run import Run
from jaxattn.runtime import QUICK_COMPILE, jit

IMAGES = 8
BINS = 30
NAME, DRAFT = "events.out.tfevents.", ".draft-of-"  # TensorBoard reads files whose names contain tfevents
RESULT = ".result"  # suffix of the file of a finished run
SCALARS = {
    "train_loss": "loss/train",
    "val_loss": "loss/val",
    "train_accuracy": "accuracy/train",
    "val_accuracy": "accuracy/val",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
}


@final
class TensorBoard(Observer):
    """Writes `tensorboard/` in the run folder; `tensorboard --logdir` shows it, also during training.

    Raises:
        InputError: if tensorboardX is not installed.
    """

    def __init__(self):
        try:
            import tensorboardX
        except ImportError as error:
            raise InputError(
                "TensorBoard's files need tensorboardX; install it: pip install tensorboardX", "tensorboard"
            ) from error
        self._summary, self._images = tensorboardX.summary, np.zeros((0, 32, 32, 3), np.uint8)

    def start(self, run: Run, test: Split) -> None:
        """Removes what a longer or a finished run left, and writes the curves of epochs that have no file."""
        self._images = test.images[balanced(test.labels, IMAGES, run.spec.superclasses)]
        folder = run.folder / "tensorboard"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            epoch = path.name.removeprefix(NAME).removesuffix(RESULT)
            if path.name.startswith(NAME) and epoch.isdecimal():
                ended = path.name.endswith(RESULT) and int(epoch) < run.config.epochs
                if ended or int(epoch) > run.epoch:
                    path.unlink()
            elif path.name.startswith(DRAFT):  # left by a process that was killed
                path.unlink()
        for line in run.metrics:
            if not _file(run, line["epoch"]).exists():
                _write(_file(run, line["epoch"]), self._scalars(line), line["epoch"])

    def epoch(self, run: Run) -> None:
        """Writes the file of an epoch."""
        summaries = [*self._scalars(run.metrics[-1]), *self._gates_and_maps(run)]
        _write(_file(run, run.epoch), summaries, run.epoch)

    def end(self, run: Run) -> None:
        """Writes the configuration and the test accuracy, for TensorBoard's table of hyperparameters."""
        result = run.result or {}
        metrics = {"accuracy/test": result["test_accuracy"], "loss/test": result["test_loss"]}
        table = self._summary.hparams(run.config.to_json(), metrics)
        scalars = (self._summary.scalar(tag, value) for tag, value in metrics.items())
        _write(_file(run, result["epochs"], RESULT), [*table, *scalars], result["epochs"])

    def _scalars(self, line: dict[str, Any]) -> list[Any]:
        return [self._summary.scalar(tag, line[key]) for key, tag in SCALARS.items() if key in line]

    def _gates_and_maps(self, run: Run) -> Iterator[Any]:
        if not len(self._images):
            return
        captured = jax.device_get(_capture(run.model, run.spec)(run.variables, self._images))
        for name, gate in sorted(captured.gates.items()):
            yield self._summary.histogram(f"gates/{name}", gate, BINS)
        for tag, maps, limits in _maps(captured):
            yield self._summary.image(f"maps/{tag}", overlays(self._images, maps, limits), dataformats="HWC")


def _maps(captured: Any) -> Iterator[tuple[str, np.ndarray, tuple[float, float]]]:
    """The attention heatmap (the strongest channel of the last layer), spatial gates, attention received.

    Each with its name and its colour scale; `captured` is what `_capture` returns, as NumPy.
    """
    ((last, features),) = captured.layers.items()
    _, channels = strongest(features, 1)
    yield f"strongest_channel_{last}", stretch(channels[:, 0]), (0, 1)
    for name, gate in sorted(captured.gates.items()):
        if max(gate.shape[1:3]) > 1:
            mean = gate.mean(axis=3)
            yield f"gate_{name}", mean, gate_limits([mean])
    for name, received in sorted(captured.attention_received.items()):
        yield f"attention_received_{name}", received, (0, float(received.max()))


@functools.lru_cache(maxsize=2)
def _capture(model: Network, spec: Spec):
    """What the network computes for images uint8 [N, H, W, 3]; compiled once for each network."""

    def run(variables, images):
        captured, last = capture(model, variables, to_input(images, spec)), mapped_layers(model)[-1]
        return captured._replace(layers={last: captured.layers[last]})

    return jit(run, QUICK_COMPILE)


def _file(run: Run, epoch: int, ending: str = "") -> Path:
    return run.folder / "tensorboard" / f"{NAME}{epoch:010d}{ending}"  # TensorBoard reads files in alphabetical order


def _write(path: Path, summaries: Iterable[Any], epoch: int) -> None:
    """Writes a file of events atomically."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import RecordWriter

    draft = path.with_name(f"{DRAFT}{epoch}")
    writer = RecordWriter(str(draft))
    try:
        for event in (Event(file_version="brain.Event:2"), *(Event(summary=one, step=epoch) for one in summaries)):
            event.wall_time = time.time()
            writer.write(event.SerializeToString())
    finally:
        writer.close()
    os.replace(draft, path)
