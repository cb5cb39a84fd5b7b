"""Selected images, explained: features, gates and maps of a run's network, with scores of the maps."""

import dataclasses
import functools
from typing import Any, final

import numpy as np

from jaxattn.errors import InputError, lookup
from jaxattn.explain import faithfulness, inference, maps
from jaxattn.explain.cam import CAMS
from jaxattn.explain.capture import layer_shapes, mapped_layers
from jaxattn.metrics import softmax
from jaxattn.runs.run import Run
from jaxattn.types import Layer, MapKind, Predictions, ScoredMaps, Scores

STEPS = 10  # of deletion and insertion
RANKS = (MapKind.STRONGEST, MapKind.SECOND, MapKind.THIRD)
Maps = dict[tuple[MapKind, Layer], np.ndarray]  # [N, h, w]


@final
@dataclasses.dataclass(frozen=True)
class Selection:
    """What to explain.

    Attributes:
        layers: names such as "conv1"; empty: the default layers of the network.
        channels: how many channels of a layer are drawn.
        target: the class that class activation maps explain, by name; None: the predicted one.

    Raises:
        InputError: if `channels` is below 1.
    """

    layers: tuple[str, ...] = ()
    channels: int = 9
    target: str | None = None

    def __post_init__(self):
        if self.channels < 1:
            raise InputError(f"channels must be at least 1, got {self.channels}")


@final
class Explanation:
    """Some images, explained. Expensive values are computed on first use.

    Attributes:
        channels: how many channels of a layer are drawn.
        layers: the selected layers, in the order given.
        caption: which run it is.
    """

    def __init__(self, run: Run, given: Predictions | np.ndarray, selection: Selection | None = None):
        """Takes a run and its predictions for some images, or only the images, uint8 [N, H, W, 3] of the run's size.

        Raises:
            InputError: if a layer or the class of `selection` is not known.
        """
        selection = selection or Selection()
        self._run, self._given = run, given
        self._images = given.images if isinstance(given, Predictions) else given
        selected = _layers(run, selection.layers, self._images.shape[1:])
        self.channels, self.caption = selection.channels, caption(run)
        self.layers: tuple[Layer, ...] = tuple(dict.fromkeys(selected)) or mapped_layers(run.model)
        self._last = mapped_layers(run.model)[-1]
        self._target = None if selection.target is None else class_index(run.classes, selection.target)
        self._scored_maps: dict[tuple[MapKind, Layer], ScoredMaps] = {}

    @functools.cached_property
    def predictions(self) -> Predictions:
        """The images, and the network's predictions for them."""
        if isinstance(self._given, Predictions):
            return self._given
        logits = inference.predict(self._run.model, self._run.spec, self._run.variables, self._images).logits
        return Predictions(self._images, softmax(logits), self._run.classes)

    @functools.cached_property
    def targets(self) -> np.ndarray:
        """The classes that class activation maps explain, int32 [N]."""
        predicted = self.predictions.predicted.astype(np.int32)
        return predicted if self._target is None else np.full_like(predicted, self._target)

    @property
    def features(self) -> dict[Layer, np.ndarray]:
        """The output of each selected layer, {layer: [N, h, w, C]}."""
        return {layer: self._captured[0].layers[layer] for layer in self.layers}

    @property
    def gates(self) -> dict[Layer, np.ndarray]:
        """Every gate, {gate: [N, h, w, C]} where h, w and C may each be 1; named as in `capture.Captured`."""
        return dict(sorted(self._captured[0].gates.items()))

    @property
    def maps(self) -> list[ScoredMaps]:
        """`cams`, the strongest channel of each selected layer, `gate_maps` and `attention_received`."""
        return self._scored(lambda kind, layer: kind not in RANKS[1:])

    @property
    def cams(self) -> list[ScoredMaps]:
        """Grad-CAM, HiResCAM and LayerCAM of `targets` at each selected layer."""
        return self._scored(lambda kind, layer: kind in CAMS)

    @property
    def strongest(self) -> list[ScoredMaps]:
        """The channels with the highest mean activation, at most three, of the last default layer of the network."""
        return self._scored(lambda kind, layer: kind in RANKS and layer == self._last)

    @property
    def gate_maps(self) -> list[ScoredMaps]:
        """Every gate that weights positions, averaged over channels."""
        return self._scored(lambda kind, layer: kind == MapKind.GATE)

    @property
    def attention_received(self) -> list[ScoredMaps]:
        """How much attention each position receives, as a multiple of the uniform share."""
        return self._scored(lambda kind, layer: kind == MapKind.ATTENTION_RECEIVED)

    def score(self, values: np.ndarray, randomised: np.ndarray) -> Scores:
        """Scores of maps [N, h, w] of these images; `randomised` are the same maps from randomised weights."""
        images = self._images.astype(np.float32)
        over = maps.over_image(values, *images.shape[1:3])
        ranks = faithfulness.removal_order(over)
        grey = np.broadcast_to(255 * np.array(self._run.spec.mean, np.float32), images.shape)
        masks = self.predictions.masks
        return Scores(
            mass_on_object=None if masks is None else faithfulness.mass_on_object(over, masks),
            pointing=None if masks is None else faithfulness.pointing(over, masks),
            deletion=self._probabilities(faithfulness.replace_pixels(images, grey, ranks, STEPS)),
            insertion=self._probabilities(
                faithfulness.replace_pixels(faithfulness.blurred(images), images, ranks, STEPS)
            ),
            similarity=faithfulness.rank_correlation(values, randomised),
        )

    @functools.cached_property
    def _captured(self) -> tuple[Any, Maps]:
        return self._capture(self._run.variables)

    @functools.cached_property
    def _randomised(self) -> Maps:
        shape = self._images.shape[1:]
        return self._capture(inference.randomised_variables(self._run.model, self._run.config.seed, shape))[1]

    def _capture(self, variables):
        captured, cams = inference.explain_images(
            self._run.model, self._run.spec, self.layers, variables, self._images, self.targets
        )
        by_kind = {(kind, layer): cams[kind][layer] for kind in CAMS for layer in self.layers}
        for layer in dict.fromkeys((*self.layers, self._last)):
            _, channels = maps.strongest(captured.layers[layer], len(RANKS) if layer == self._last else 1)
            by_kind |= {(kind, layer): channels[:, i] for i, kind in enumerate(RANKS[: channels.shape[1]])}
        for name, gate in sorted(captured.gates.items()):
            if max(gate.shape[1:3]) > 1:
                by_kind[MapKind.GATE, name] = gate.mean(axis=3)
        for name, values in sorted(captured.attention_received.items()):
            by_kind[MapKind.ATTENTION_RECEIVED, name] = values
        return captured, by_kind

    def _scored(self, wanted):
        captured = self._captured[1]
        keys = [key for key in captured if wanted(*key)]
        for key in keys:
            if key not in self._scored_maps:
                values, randomised = captured[key], self._randomised[key]
                self._scored_maps[key] = ScoredMaps(*key, values, randomised, self.score(values, randomised))
        return [self._scored_maps[key] for key in keys]

    def _probabilities(self, frames):
        """Probability of each image's target in frames [S + 1, N, H, W, 3]: [N, S + 1]."""
        steps, count = frames.shape[:2]
        run = self._run
        logits = inference.predict(run.model, run.spec, run.variables, frames.reshape(-1, *frames.shape[2:])).logits
        probabilities = softmax(logits).reshape(steps, count, -1)
        return np.take_along_axis(probabilities, self.targets[None, :, None], axis=2)[..., 0].T


def _layers(run, names, shape):
    """Layers by their names; the network is traced only if there are any."""
    known = {str(layer): layer for layer in layer_shapes(run.model, run.variables, shape)} if names else {}
    return [lookup("layer", name, known) for name in names]


def caption(run: Run) -> str:
    """Which run it is, in a line: data, attention, seed, epoch, and whether the test set was monitored."""
    config = run.config
    text = f"{run.spec.name}, {config.subject}, seed {config.seed}, weights of epoch {run.epoch}"
    if config.monitor == "test":
        text += ". The TEST set was monitored in this run: its test figures were not measured on unseen images"
    return text


def class_index(classes: tuple[str, ...], name: str) -> int:
    """The number of a class.

    Raises:
        InputError: if there is no class of that name.
    """
    return lookup("class", name, {known: i for i, known in enumerate(classes)})
