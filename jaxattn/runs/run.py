"""A run, as read from its folder."""

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any, final

import jax
import numpy as np

from jaxattn.config import Config
from jaxattn.data.image_file import resize_images
from jaxattn.data.spec import Spec
from jaxattn.errors import InputError, lookup
from jaxattn.metrics import softmax
from jaxattn.networks.network import Network
from jaxattn.paths import local_path
from jaxattn.runs import checkpoint, html
from jaxattn.runs.code import Code, check_trusted, check_unchanged
from jaxattn.runs.manifest import Manifest, read_manifest
from jaxattn.runs.result import read_own_result
from jaxattn.runs.store import read_metrics
from jaxattn.training import evaluation
from jaxattn.training.program import Program, build, template


@final
@dataclasses.dataclass(frozen=True)
class Run:
    """A run, as read from its folder.

    Attributes:
        folder: the run folder.
        config: the requested configuration; its `dataset` is the one that was used.
        spec: facts of the data set.
        model: the network.
        variables: its parameters and statistics at `epoch`.
        epoch: the epoch they are from.
        metrics: one dict per epoch, as in `metrics.jsonl`.
        result: as in `result.json`; None if the run has not finished.
        notes: what readers of its numbers must know, one sentence each (`Manifest.notes`).
        acts_on: the parameters that each ingredient of its recipe acts on (`Manifest.acts_on`).
        code: digests of your own modules when it was trained (`Manifest.code`).
    """

    folder: Path
    config: Config
    spec: Spec
    model: Network
    variables: dict[str, Any] = dataclasses.field(repr=False)
    epoch: int
    metrics: list[dict[str, Any]] = dataclasses.field(repr=False)
    result: dict[str, Any] | None
    notes: tuple[str, ...] = ()
    acts_on: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict, repr=False)
    code: Code = dataclasses.field(default_factory=dict, repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes [K]."""
        return self.spec.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of the network's images, (H, W, 3)."""
        return self.spec.image_shape

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Probabilities of the classes, as in `jaxattn predict`.

        Args:
            images: uint8 [N, H', W', 3], RGB in 0-255, of any size: each is cropped around its centre to the
                proportions of `image_shape` and resized.

        Returns:
            float32 [N, K], each row summing to one.

        Raises:
            InputError: if the images are of another type or shape.
        """
        if getattr(images, "dtype", None) != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or not images.size:
            about = f"{images.dtype} {list(images.shape)}" if hasattr(images, "shape") else type(images).__name__
            raise InputError(f"images must be uint8 [N, H, W, 3], RGB in 0-255, with N, H, W >= 1, got {about}")
        height, width, _ = self.image_shape
        resized = resize_images(np.asarray(images), height, width)
        return softmax(evaluation.logits(self.model, self.spec, self.variables, resized))

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        about = f"{self.config.dataset}, {self.config.subject}, seed {self.config.seed}"
        return html.summary(self.folder, about, self.metrics, self.result)


def load_run(
    folder: str | Path, which: str = "tested", *, trust_code: bool = False, accept_changed_code: bool = False
) -> Run:
    """Loads a run from its folder.

    Args:
        folder: the run folder.
        which: which weights: those of the "best" epoch that still has a checkpoint, of the "last" one, or of the
            "tested" one, which is one of these two, as the configuration's `keep` says.
        trust_code: whether a module outside this package that the folder names may be imported, which runs its code.
            Not needed for one that this process has imported already.
        accept_changed_code: whether a module may be used although its code has changed since the run was trained.

    Raises:
        InputError: if the folder holds no run, the epoch's checkpoint is missing or damaged, or the code of its
            attention is not trusted or has changed.
    """
    folder = local_path(folder)
    manifest = read_manifest(folder)
    check_trusted(manifest.config, folder, trust_code)
    changed = check_unchanged(manifest.code, manifest.config, folder, accept_changed_code)
    program = build(manifest.config, manifest.data, 1)
    while True:
        complete = checkpoint.epochs(folder / "checkpoints")
        epoch, metrics = _choose(folder, manifest, which, complete)
        try:
            variables = load_variables(folder, epoch, program, manifest)
            break
        except InputError:
            if checkpoint.epochs(folder / "checkpoints") == complete:
                raise
            # the run is still training, and a newer epoch has replaced this one
    if jax.process_count() == 1:
        variables = jax.device_put(variables)
    about = manifest.config, manifest.data, program.model
    result = read_own_result(folder, manifest)
    notes = *manifest.notes(), *changed
    return Run(folder, *about, variables, epoch, metrics, result, notes, manifest.acts_on, manifest.code)


def _choose(folder: Path, manifest: Manifest, which: str, complete: list[int]) -> tuple[int, list[dict[str, Any]]]:
    if not complete:
        raise InputError(f"{folder} holds no complete epoch yet; resume it", "resume", folder)
    metrics = read_metrics(folder, complete[-1])
    choices = {"best": best_epoch(metrics, complete), "last": complete[-1]}
    choices["tested"] = choices[manifest.config.keep]
    return lookup("choice of weights", which, choices), metrics


def read_variables(folder: Path) -> dict[str, np.ndarray]:
    """The tested variables of a run [...] by name, such as "params/head/kernel"; its network's code is not needed.

    Raises:
        InputError: if the folder holds no run, or the checkpoint is missing or damaged.
    """
    manifest = read_manifest(folder)
    epoch, _ = _choose(folder, manifest, "tested", checkpoint.epochs(folder / "checkpoints"))
    _, arrays = checkpoint.read(folder / "checkpoints", epoch, manifest.header())
    average = {name.removeprefix("average/"): array for name, array in arrays.items() if name.startswith("average/")}
    kinds = "params/", "collections/"
    return average or {name.removeprefix(kinds[1]): array for name, array in arrays.items() if name.startswith(kinds)}


def load_variables(folder: Path, epoch: int, program: Program, manifest: Manifest) -> dict[str, Any]:
    """The variables of an epoch; nothing else of its checkpoint is read.

    Raises:
        InputError: if the checkpoint is missing, damaged, or of another run, network or version.
    """
    like = template(program)
    part = {"average": like.average} if like.average else {"params": like.params, "collections": like.collections}
    restored = checkpoint.restore(folder / "checkpoints", epoch, part, manifest.header())
    return restored["average"] if like.average else {"params": restored["params"], **restored["collections"]}


def best_epoch(metrics: list[dict[str, Any]], among: Collection[int] | None = None) -> int:
    """The epoch with the highest validation accuracy; of several, that with the lowest validation loss, then the first.

    If nothing was monitored, it is the last.

    Args:
        metrics: one dict per epoch.
        among: the epochs to choose from, such as those whose checkpoints are still there; None for all.
    """
    lines = [line for line in metrics if among is None or line["epoch"] in among]
    if "val_loss" not in lines[-1]:
        return lines[-1]["epoch"]
    return max(lines, key=lambda line: (line["val_accuracy"], -line["val_loss"], -line["epoch"]))["epoch"]
