"""From a run to all that its plots and its report draw: a `Look` at some pictures, a `Study` of the test set."""

import dataclasses
import functools
import inspect
from typing import TYPE_CHECKING, Any, final

import jax
import jax.numpy as jnp
import numpy as np

from jaxattn import heatmap, scores
from jaxattn.cam import CAMS, explain
from jaxattn.capture import Captured, capture, in_order, layer_shapes
from jaxattn.data.augment import MEAN, normalize, to_float
from jaxattn.data.splits import Split
from jaxattn.errors import InputError, lookup
from jaxattn.folder import read_header
from jaxattn.plots import PLOTS
from jaxattn.records import Heatmap, Pictures, Scores
from jaxattn.run import Run, load_data
from jaxattn.screen import Screen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTURED = 16  # pictures in a batch that is captured: self-attention holds (HW)^2 numbers for each
PREDICTED = 64  # pictures in a batch that is only classified
SCORED = 64  # test pictures whose maps are scored
STEPS = 10  # of deletion and insertion
RANKS = ("strongest channel", "second channel", "third channel")
Maps = dict[tuple[str, str], np.ndarray]  # (kind, layer) to [N, h, w]


@final
@dataclasses.dataclass(frozen=True)
class Choice:
    """What to look at.

    Attributes:
        layers: names as of `capture.Captured.layers`; none: the convolution of each block.
        channels: how many channels of a layer are drawn.
        target: the class that class activation maps explain, by name; None: the predicted one.

    Raises:
        InputError: where `channels` is below 1.
    """

    layers: tuple[str, ...] = ()
    channels: int = 9
    target: str | None = None

    def __post_init__(self):
        if self.channels < 1:
            raise InputError(f"channels must be at least 1, got {self.channels}")


@final
class Look:
    """Some pictures, seen closely. What is costly is computed when it is first asked for.

    Attributes:
        channels: as chosen.
        layers: names of the chosen layers, in the order given.
        caption: which run it is.
    """

    def __init__(
        self,
        run: Run,
        images: np.ndarray,
        labels: np.ndarray | None = None,
        masks: np.ndarray | None = None,
        choice: Choice | None = None,
    ):
        """Takes a run and uint8 images [N, H, W, 3] as large as its own; labels [N] and masks [N, H, W] where known.

        Raises:
            InputError: where a layer or the class of `choice` is not known.
        """
        choice = choice or Choice()
        known = layer_shapes(run.model, run.variables, images.shape[1:])
        for layer in choice.layers:
            lookup("layer", layer, known)
        convolutions = [name for name in known if name.startswith("conv")]
        self.channels, self.caption = choice.channels, caption(run)
        self.layers = tuple(dict.fromkeys(choice.layers)) or tuple(convolutions)
        self._last = convolutions[-1]
        self._run, self._images, self._labels, self._masks = run, images, labels, masks
        self._target = choice.target if choice.target is None else class_index(run.classes, choice.target)
        self._heatmaps: dict[tuple[str, str], Heatmap] = {}

    @functools.cached_property
    def pictures(self) -> Pictures:
        """The pictures, and what the network says of them."""
        probabilities = _softmax(self._seen[0].logits)
        return Pictures(self._images, probabilities, self._run.classes, self._labels, self._masks)

    @functools.cached_property
    def targets(self) -> np.ndarray:
        """The classes that class activation maps explain, int32 [N]."""
        predicted = self.pictures.predicted.astype(np.int32)
        return predicted if self._target is None else np.full_like(predicted, self._target)

    @property
    def features(self) -> dict[str, np.ndarray]:
        """What each chosen layer gives, {layer: [N, h, w, C]}."""
        return {layer: self._seen[0].layers[layer] for layer in self.layers}

    @property
    def gates(self) -> dict[str, np.ndarray]:
        """Every gate, {gate: [N, h, w, C]} where h, w and C may each be 1; named as in `capture.Captured`."""
        return _sorted(self._seen[0].gates)

    @property
    def heatmaps(self) -> list[Heatmap]:
        """`cams`, the strongest channel of each chosen layer, `gate_maps` and `attended`."""
        return self._scored(lambda kind, layer: kind not in RANKS[1:])

    @property
    def cams(self) -> list[Heatmap]:
        """Grad-CAM and HiResCAM of `targets` at each chosen layer."""
        return self._scored(lambda kind, layer: kind in CAMS)

    @property
    def strongest(self) -> list[Heatmap]:
        """The channels of the last convolution with the highest mean activation, at most three."""
        return self._scored(lambda kind, layer: kind in RANKS and layer == self._last)

    @property
    def gate_maps(self) -> list[Heatmap]:
        """Every gate that weighs places, averaged over channels."""
        return self._scored(lambda kind, layer: kind == "gate")

    @property
    def attended(self) -> list[Heatmap]:
        """How much self-attention looks at each place, as a multiple of an even look."""
        return self._scored(lambda kind, layer: kind == "attended")

    def score(self, values: np.ndarray, unlearned: np.ndarray) -> Scores:
        """What maps [N, h, w] of these pictures are worth; `unlearned` are the same from random weights."""
        images = self._images.astype(np.float32)
        over = heatmap.over_picture(values, *images.shape[1:3])
        ranks = scores.removal_order(over)
        grey = np.broadcast_to(255 * np.array(MEAN, np.float32), images.shape)
        masks = self._masks
        return Scores(
            object_share=None if masks is None else scores.object_share(over, masks),
            pointing=None if masks is None else scores.pointing(over, masks),
            deletion=self._answers(scores.replaced(images, grey, ranks, STEPS)),
            insertion=self._answers(scores.replaced(scores.blurred(images), images, ranks, STEPS)),
            agreement=scores.rank_correlation(values, unlearned),
        )

    @functools.cached_property
    def _seen(self) -> tuple[Captured, Maps]:
        target = -1 if self._target is None else self._target
        return self._see(self._run.variables, np.full(len(self._images), target, np.int32))

    @functools.cached_property
    def _unlearned(self) -> Maps:
        variables = _unlearned_variables(self._run.model, self._run.config.seed, self._images.shape[1:])
        return self._see(variables, self.targets)[1]

    def _see(self, variables, targets):
        seeing = _seeing(self._run.model, self.layers)
        captured, found = _in_batches(seeing, CAPTURED, variables, self._images, targets)
        maps = {(kind, layer): found[kind][layer] for kind in CAMS for layer in self.layers}
        for layer in dict.fromkeys((*self.layers, self._last)):
            _, strongest = heatmap.strongest(captured.layers[layer], len(RANKS) if layer == self._last else 1)
            maps |= {(kind, layer): strongest[:, i] for i, kind in enumerate(RANKS[: strongest.shape[1]])}
        for name, gate in _sorted(captured.gates).items():
            if max(gate.shape[1:3]) > 1:
                maps["gate", name] = gate.mean(axis=3)
        return captured, maps | {("attended", name): values for name, values in _sorted(captured.attended).items()}

    def _scored(self, wanted):
        maps = self._seen[1]
        keys = [key for key in maps if wanted(*key)]
        for key in keys:
            if key not in self._heatmaps:
                values, unlearned = maps[key], self._unlearned[key]
                self._heatmaps[key] = Heatmap(*key, values, unlearned, self.score(values, unlearned))
        return [self._heatmaps[key] for key in keys]

    def _answers(self, frames):
        """Probability of each picture's target in frames [S + 1, N, H, W, 3]: [N, S + 1]."""
        steps, count = frames.shape[:2]
        logits, _ = _in_batches(
            _predicting(self._run.model), PREDICTED, self._run.variables, frames.reshape(-1, *frames.shape[2:])
        )
        probabilities = _softmax(logits).reshape(steps, count, -1)
        return np.take_along_axis(probabilities, self.targets[None, :, None], axis=2)[..., 0].T


@final
class Study:
    """A whole run, and its network over the test set. What is costly is computed when it is first asked for.

    Attributes:
        classes: names of the classes [K].
        caption: which run it is.
        metrics: a dict an epoch, as in `metrics.jsonl`.
        steered_by: "validation" or "test".
        plateaus: epochs before which a plateau lowered the learning rate.
        epoch: the epoch whose weights these are.
        studied_labels: int [N], classes of the pictures of `gate_profiles`: of the whole test set.
    """

    def __init__(self, run: Run, test: Split, choice: Choice | None = None, scored: int | None = None):
        """Takes a run and its test set; of `choice`, only the layers matter here; `scored` pictures' maps get scores.

        Raises:
            InputError: where a layer of `choice` is not known.
        """
        self.classes, self.caption, self.metrics = run.classes, caption(run), run.metrics
        self.steered_by, self.epoch = run.config.steer, run.epoch
        self.plateaus = _plateaus(run) if run.config.schedule == "plateau" else []
        self._run, self._test, self.studied_labels = run, test, test.labels
        part = test.take(balanced(test.labels, scored or SCORED))
        choice = dataclasses.replace(choice or Choice(), target=None)
        self._look = Look(run, part.images, part.labels, part.masks, choice)

    @functools.cached_property
    def tested(self) -> Pictures:
        """The test set, and what the network says of it."""
        logits, _ = self._answered
        return Pictures(self._test.images, _softmax(logits), self.classes, self._test.labels, self._test.masks)

    @property
    def gate_profiles(self) -> dict[str, np.ndarray]:
        """The weight of each channel for each test picture, averaged over places, {gate: [N, C]}."""
        _, profiles = self._answered
        return _sorted(profiles)

    @functools.cached_property
    def _answered(self):
        return _in_batches(_predicting(self._run.model), PREDICTED, self._run.variables, self._test.images)

    @functools.cached_property
    def scored(self) -> list[Heatmap]:
        """Every map of some test pictures with its scores, and "chance": pixels in random order."""
        even = np.zeros(self._look.pictures.images.shape[:3])
        chance = Heatmap("chance", "", even, even, self._look.score(even, even))
        return [chance, *self._look.heatmaps]


def draw(name: str, *sources: Look | Study) -> "Figure":
    """A picture of `PLOTS`, with what it asks for taken from the first source that has it.

    Raises:
        InputError: where the name is not known.
        plots.canvas.NothingToDrawError: where there is no such thing to draw, such as gates in a plain network.
        TypeError: where no source has what it asks for (see `drawable`).
    """
    plot = lookup("plot", name, PLOTS)
    given = {}
    for wanted in inspect.signature(plot).parameters:
        source = next((source for source in sources if _has(source, wanted)), None)
        if source is not None:
            given[wanted] = getattr(source, wanted)
    return plot(**given)


def drawable(name: str, *sources: Look | Study) -> bool:
    """Whether the sources have all that a picture of `PLOTS` asks for."""
    return all(any(_has(source, wanted) for source in sources) for wanted in inspect.signature(PLOTS[name]).parameters)


def _has(source, name):
    return name in vars(source) or hasattr(type(source), name)


def read_test(run: Run, data_dir: str | None = None) -> Split:
    """The test set of a run, read anew; `data_dir` is where the data lies if not where it lay in training.

    Raises:
        InputError: where the data cannot be had, or is not what the run was trained on.
    """
    config = run.config if data_dir is None else dataclasses.replace(run.config, data_dir=data_dir)
    _, splits = load_data(config, Screen())
    if splits.digest() != read_header(run.folder).dataset_hash:
        raise InputError(
            f"the pictures of {config.dataset} in {config.data_dir} are not those that {run.folder} was trained on "
            "(their hash differs); name their folder with --data-dir"
        )
    return splits.test


def caption(run: Run) -> str:
    """Which run it is, in a line: data, attention, seed, epoch, and whether the test set steered it."""
    config = run.config
    text = f"{config.dataset}, attention {config.attention}, seed {config.seed}, weights of epoch {run.epoch}"
    if config.steer == "test":
        text += ". The TEST set steered this run: its test figures are not those of unseen pictures"
    return text


def balanced(labels: np.ndarray, count: int) -> np.ndarray:
    """Places of at most `count` pictures, classes in turn: the first of each class, then the second of each, ...

    Args:
        labels: int [N].
        count: how many are wanted.

    Returns:
        int [n], n = min(count, N).
    """
    turn = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = labels == label
        turn[members] = np.arange(members.sum())
    return np.lexsort((labels, turn))[:count]


def class_index(classes: tuple[str, ...], name: str) -> int:
    """The number of a class.

    Raises:
        InputError: where there is no class of that name.
    """
    return lookup("class", name, {known: i for i, known in enumerate(classes)})


def _plateaus(run: Run) -> list[int]:
    rates = [line["learning_rate"] for line in run.metrics]
    return [
        line["epoch"] for line, before in zip(run.metrics[1:], rates, strict=False) if line["learning_rate"] < before
    ]


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _sorted(named: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: named[name] for name in sorted(named, key=in_order)}


# Compiled once for each network, however many pictures are looked at.


def _normal(images: jax.Array) -> jax.Array:
    return normalize(to_float(images))


@functools.lru_cache(maxsize=8)
def _seeing(model, layers):
    return jax.jit(lambda variables, images, targets: explain(model, variables, _normal(images), targets, layers))


@functools.lru_cache(maxsize=8)
def _predicting(model):
    """Logits, and each gate's weights by channel; of images of any type, by one program."""

    def predict(variables, images):
        captured = capture(model, variables, _normal(images))
        by_channel = {k: gate for k, gate in captured.gates.items() if gate.shape[3] > 1 or max(gate.shape[1:3]) == 1}
        return captured.logits, {name: gate.mean(axis=(1, 2)) for name, gate in by_channel.items()}

    compiled = jax.jit(predict)
    return lambda variables, images: compiled(variables, images.astype(np.float32))


@functools.lru_cache(maxsize=2)
def _unlearned_variables(model, seed, shape) -> dict[str, Any]:
    """Variables drawn anew, by a generator that no run uses and that compiles in a third of the time."""
    key = jax.random.key(seed, impl="rbg")
    return jax.jit(lambda key: model.init(key, jnp.zeros((1, *shape))))(key)


def _in_batches(function, size, variables, *arrays):
    """What a function of variables and arrays [N, ...] gives, N rows of it, from batches of one size."""
    count = len(arrays[0])
    parts = []
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        parts.append(jax.device_get(function(variables, *(array[rows] for array in arrays))))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)
