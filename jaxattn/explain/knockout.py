"""Gate knock-out: whether the predictions of a trained network depend on what its gates compute from each image."""

import contextlib
import functools
import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util
from jaxtyping import Integer, UInt8

from jaxattn.data.augment import to_input
from jaxattn.data.spec import Spec
from jaxattn.explain import inference
from jaxattn.networks.network import Network
from jaxattn.runtime import KEEP_BARRIERS, jit

CONDITIONS = ("intact", "one", "mean", "other image")
MEANS = "gate_means"  # a collection, and its variable in each module with a gate: a tuple, one mean for each call
MAX_SITES = 12  # with a gate; if there are more, those of a stage are replaced together


def knockout_predictions(
    model: Network,
    spec: Spec,
    variables: dict[str, Any],
    images: UInt8[np.ndarray, "N H W 3"],
    by_site: bool = False,
    conditions: Collection[str] = CONDITIONS[1:],
) -> dict[str, Integer[np.ndarray, " N"]]:
    """The predicted classes with all gates replaced at once, or those of one site, in evaluation mode.

    * "one": by ones. `bam` then doubles its input, and `sk` takes its wide branch.
    * "mean": by the mean of the intact network's gate over the images, not over channels or positions.
    * "other image": by the gate of the previous image in the batch (earlier gates are replaced, too); the first image
      takes that of the last. Padding repeats a batch's last images, so it changes nothing. A single image keeps its
      own gate.

    A gate is each array that the method `gate` of any module returns, at each call; except those from which another
    gate is computed, which "other image" would shift twice. A gate with fewer than four axes is shared by all images;
    "other image" does not change it.

    Args:
        model, spec, variables: the network, with any attention, its data set, and its variables.
        images: uint8 [N, H, W, 3].
        by_site: whether to also replace the gates of each site alone, if several sites have one; with more than 12
            sites, those of each stage together.
        conditions: which of the three to test.

    Returns:
        {condition: int [N]} for "intact" and the conditions; only "intact" if there is no gate. By site, also
        {"mean at block2": int [N], ...}, with names by `at`.
    """
    predictions = {"intact": inference.predict(model, spec, variables, images).logits.argmax(axis=1)}
    batches = list(inference.tested_batches(model, len(images)))
    means = _means(model, spec, batches, variables, images)
    if not means:
        return predictions
    parts, ones = _parts(model, means), jax.tree.map(np.ones_like, means)
    ways = {"one": (_stored, ones), "mean": (_stored, means), "other image": (_rolled, {})}
    for place, mask in _masks(parts, by_site).items():
        for name in conditions:
            replace, gates = ways[name]
            knocked_out = functools.partial(_logits(model, spec, replace, parts), mask)
            logits = inference.in_batches(knocked_out, batches, variables | {MEANS: gates}, images)
            predictions[at(name, place) if place else name] = logits.argmax(axis=1)
    return predictions


def _masks(parts, by_site):
    """Which gates to replace: all of them (""), and those of each part alone: bool [parts and the rest]."""
    masks = {"": np.ones(len(parts) + 1, bool)}
    if by_site and len(parts) > 1:
        masks |= {name: np.arange(len(parts) + 1) == i for i, (name, _) in enumerate(parts)}
    return masks


def at(condition: str, site: str) -> str:
    """The name of a condition in which only the gates of a site, or of a stage, are replaced: "mean at block2"."""
    return f"{condition} at {site}"


def _parts(model, means):
    """The sites with a gate, or their stages if there are many: pairs of a name and the paths of attention modules."""
    gated = [path[:-1] for path in traverse_util.flatten_dict(means)]
    sites = [site for site in model.sites() if any(path[: len(site.path)] == site.path for path in gated)]
    parts: dict[str, tuple] = {}
    for site in sites:
        name = site.name if len(sites) <= MAX_SITES else f"stage{site.stage}"
        parts[name] = (*parts.get(name, ()), site.path)
    return tuple(parts.items())


def accuracy_lost(
    predictions: dict[str, Integer[np.ndarray, " N"]], labels: Integer[np.ndarray, " N"]
) -> dict[str, float]:
    """Accuracy of "intact" minus that of each other condition, in points.

    Args:
        predictions, labels: {condition: int [N]}, from `knockout_predictions`; the true classes, int [N].
    """
    right = {name: np.mean(predicted == labels) for name, predicted in predictions.items()}
    return {name: float(100 * (right["intact"] - one)) for name, one in right.items() if name != "intact"}


def lost_with_means(lost: Mapping[str, float], gates: Iterable[str]) -> dict[str, tuple[str, float]]:
    """What stands in place of each gate where its site was knocked out, and how many points of accuracy are lost then.

    Args:
        lost: from `accuracy_lost`.
        gates: all gates of the network, such as "block1/channel".

    Returns:
        {gate: ("its mean" or what else is replaced with it, points)}, without those whose site was not knocked out.
    """
    sites = {gate: re.split("[/#]", gate)[0] for gate in gates}
    parts, costs = sites_of(lost), {}
    for gate, site in sites.items():
        alone = sum(other == site for other in sites.values()) == 1
        part = site if site in parts else next((part for part in parts if site.startswith(f"{part}_")), None)
        if part is not None:
            costs[gate] = "its mean" if part == site and alone else f"the means of {part}", lost[at("mean", part)]
        elif not parts:
            costs[gate] = "its mean" if len(sites) == 1 else "the means of all gates", lost["mean"]
    return costs


def sites_of(predictions: Iterable[str]) -> list[str]:
    """The sites, or stages, whose gates were replaced alone, from the names of the conditions."""
    return list(dict.fromkeys(name.partition(" at ")[2] for name in predictions if " at " in name))


def _means(model, spec, batches, variables, images):
    sums = jax.device_get([_sums(model, spec)(variables, images[rows], valid) for rows, valid in batches])
    return jax.tree.map(lambda *parts: (np.sum(parts, axis=0, dtype=np.float64) / len(images)).astype("f4"), *sums)


@functools.lru_cache(maxsize=8)
def _sums(model, spec):
    def run(variables, x, valid):
        _, collections = _with_gates_changed(_record)(model.apply)(variables, to_input(x, spec), mutable=[MEANS])
        return jax.tree.map(lambda gate: _sum(gate, valid), collections.get(MEANS, {}))

    return jit(run, KEEP_BARRIERS)


@functools.lru_cache(maxsize=8 * 2)
def _logits(model, spec, replace, parts):
    """A function of a mask bool [parts and the rest], variables and images; it changes only the gates in the mask."""

    def run(mask, variables, x):
        def change(module, call, gate):
            place = next((i for i, (_, paths) in enumerate(parts) if _within(module.path, paths)), len(parts))
            return jax.tree.map(lambda new, old: jnp.where(mask[place], new, old), replace(module, call, gate), gate)

        return _with_gates_changed(change)(model.apply)(variables, to_input(x, spec))

    return jit(run, KEEP_BARRIERS)


def _within(path, paths):
    return any(path[: len(one)] == one for one in paths)


@contextlib.contextmanager
def _with_gates_changed(change):
    """Replaces each gate that is not nested in another by `change(module, number of its call, gate)`."""
    calls, inside = {}, False

    def intercept(call, args, kwargs, context):
        nonlocal inside
        if context.method_name != "gate" or inside:
            return call(*args, **kwargs)
        inside = True
        gate = call(*args, **kwargs)
        inside = False
        return change(context.module, next(calls.setdefault(context.module.path, itertools.count())), gate)

    with nn.intercept_methods(intercept):
        yield


def _sum(gate, valid):
    """The sum over valid images of a gate that broadcasts to [B, H, W, C]: [h, w, C], or its own shape without B."""
    each = gate.reshape((1,) * (4 - gate.ndim) + gate.shape).astype(jnp.float32)
    return jnp.where(valid[:, None, None, None], each, 0).sum(axis=0).reshape(gate.shape[-3:])


def _record(module, call, gate):
    module.sow(MEANS, MEANS, gate)
    return gate


def _stored(module, call, gate):
    mean = module.get_variable(MEANS, MEANS)[call]
    return jax.tree.map(lambda one, instead: jnp.broadcast_to(instead, one.shape).astype(one.dtype), gate, mean)


def _rolled(module, call, gate):
    return jax.tree.map(lambda one: jnp.roll(one, 1, axis=0) if one.ndim == 4 else one, gate)
