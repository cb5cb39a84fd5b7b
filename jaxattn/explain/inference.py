"""Compiled passes of a network over NumPy arrays, in batches of one size; compiled once for each network."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxattn.data.augment import to_input
from jaxattn.data.spec import Spec
from jaxattn.explain.cam import explain
from jaxattn.explain.capture import capture
from jaxattn.explain.gates import DEAD, SATURATED, Signs, signs
from jaxattn.networks.network import Network
from jaxattn.runtime import KEEP_BARRIERS, QUICK_COMPILE, jit
from jaxattn.training import evaluation
from jaxattn.types import Layer

CAPTURED = 16  # images in a batch whose maps are captured: self-attention keeps (HW)^2 numbers for each


def in_batches(function: Callable, batches: Iterable, variables: dict[str, Any], *arrays: np.ndarray) -> Any:
    """Applies a function of variables and arrays [N, ...] to `evaluation.batches`, and joins the N rows of results."""
    parts, valid_rows = [], []
    for rows, valid in batches:
        outputs = jax.device_get(function(variables, *(array[rows] for array in arrays)))
        parts.append(jax.tree.map(lambda leaf, valid=valid: leaf[valid], outputs))
        valid_rows.append(rows[valid])
    return evaluation.joined(parts, valid_rows)


class Predicted(NamedTuple):
    """The predictions of a network for N images, and its gates.

    Attributes:
        logits: [N, K].
        gates: of each gate, the mean weight over positions, {gate: [N, C]}; C is 1 if channels have the same weight.
        gate_inputs: the mean activation from which each of them is computed, {gate: [N, C]}; some gates have none.
        gate_positions: of each gate's weights at all positions, what `gates.signs` takes, {gate: [N, 3]}.
    """

    logits: np.ndarray
    gates: dict[Layer, np.ndarray]
    gate_inputs: dict[Layer, np.ndarray]
    gate_positions: dict[Layer, np.ndarray]

    @property
    def gates_by_channel(self) -> dict[Layer, np.ndarray]:
        """The gates without those that weight positions alone, {gate: [N, C]}."""
        return {
            gate: weights
            for gate, weights in sorted(self.gates.items())
            if weights.shape[1] > 1 or not self.gate_positions[gate][:, 2].any()
        }

    def signs(self, labels: np.ndarray) -> dict[Layer, Signs]:
        """The vital signs of each gate, for the true classes int [N]."""
        return {
            gate: signs(weights, labels, self.gate_inputs.get(gate), self.gate_positions[gate])
            for gate, weights in sorted(self.gates.items())
        }


def predict(model: Network, spec: Spec, variables: dict[str, Any], images: np.ndarray) -> Predicted:
    """The predictions of a network for images [N, H, W, 3] in 0-255, and its gates.

    Batches are those of `training.evaluation`, so a module that mixes the images of a batch predicts as in the test.
    """
    return in_batches(_predict(model, spec), tested_batches(model, len(images)), variables, images)


def tested_batches(model: Network, count: int) -> Iterable:
    """The batches of `count` images for prediction; they have few sizes, since each size is compiled."""
    return evaluation.batches(count, multiple=32, fill=evaluation.fill_of(model))


def explain_images(
    model: Network,
    spec: Spec,
    layers: tuple[Layer, ...],
    variables: dict[str, Any],
    images: np.ndarray,
    targets: np.ndarray,
) -> Any:
    """What `cam.explain` returns for uint8 images [N, H, W, 3] and target classes int32 [N], as NumPy."""
    fill = evaluation.fill_of(model)
    batches = evaluation.batches(len(images), multiple=CAPTURED + fill, most=CAPTURED, fill=fill)
    return in_batches(_explain(model, spec, layers), batches, variables, images, targets)


@functools.lru_cache(maxsize=2)
def randomised_variables(model: Network, seed: int, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Variables drawn again for images of `shape` (H, W, 3), by a generator that no run uses and that compiles fast."""
    key = jax.random.key(seed, impl="rbg")
    image = jnp.zeros((1, *shape))
    return jit(lambda key: model.init(key, image), QUICK_COMPILE)(key)


@functools.lru_cache(maxsize=8)
def _explain(model, spec, layers):
    def run(variables, images, targets):
        return explain(model, variables, to_input(images, spec), targets, layers)

    return jit(run, KEEP_BARRIERS)


@functools.lru_cache(maxsize=8)
def _predict(model, spec):
    def run(variables, images):
        captured = capture(model, variables, to_input(images, spec))
        gates = captured.gates
        means = {name: gate.mean(axis=(1, 2)) for name, gate in gates.items()}
        positions = {name: _positions(gate) for name, gate in gates.items()}
        return Predicted(captured.logits, means, captured.gate_inputs, positions)

    compiled = jit(run, KEEP_BARRIERS)
    return lambda variables, images: compiled(variables, images.astype(np.float32))  # one program for any dtype


def _positions(gate):
    """Of a gate [B, h, w, C]: fractions of weights near 0 and near 1, and variance between positions, [B, 3]."""
    near = [(gate < DEAD).mean(axis=(1, 2, 3)), (gate > SATURATED).mean(axis=(1, 2, 3))]
    return jnp.stack([*near, gate.astype(jnp.float32).var(axis=(1, 2)).mean(axis=-1)], axis=1)
