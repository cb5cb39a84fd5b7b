"""Initial kernels that shorten training: whitening filters in the first block, identities in the others."""

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float, Int, Int32, UInt8

from jaxattn.data.augment import to_float
from jaxattn.data.spec import Spec
from jaxattn.networks.network import Group, Network
from jaxattn.training.state import TrainState

IMAGES = 5_000  # whose patches are whitened
BLOCK = 250  # of them at once, so that memory is reused
EPSILON = 5e-4  # added to variances
NONE = 1e-7  # variances up to this one are rounding errors


def prepare(
    model: Network, state: TrainState, images: UInt8[np.ndarray, "N H W 3"], spec: Spec, first: str, later: str
) -> TrainState:
    """The initial state of a network, with kernels of convolutions replaced and their biases set to zero, as chosen.

    Args:
        model: the network.
        state: as drawn.
        images: those of the training set at `representative` rows, [N, H, W, 3].
        spec: of the data set.
        first: "whitening" for the first convolution; "pytorch" keeps what was drawn.
        later: "dirac" for the others; "pytorch" keeps what was drawn.
    """
    if (first, later) == ("pytorch", "pytorch"):
        return state
    drawn = flatten_dict(jax.device_get(state.params))
    params = dict(drawn)
    for (*layer, name), group in flatten_dict(model.groups(state.params)).items():
        kernel = drawn[(*layer, name)]
        if group == Group.FIRST and first == "whitening":
            kernel = whitening_kernel(images, spec, kernel)
        elif group == Group.CONVOLUTION and later == "dirac":
            kernel = dirac_kernel(kernel)
        else:
            continue
        params[(*layer, name)] = kernel
        if (bias := (*layer, "bias")) in params:
            params[bias] = np.zeros_like(params[bias])
    params = unflatten_dict(params)
    average = {**state.average, "params": jax.tree.map(np.copy, params)} if state.average else {}
    return state.replace(params=params, average=average)


def representative(labels: Int32[np.ndarray, " N"]) -> Int[np.ndarray, " M"]:
    """Rows [M] of `IMAGES` of N images, or of all if they are fewer: the first, or evenly spaced if these lack a class.

    A data set that is sorted by class, as a folder is, begins with a few classes alone.
    """
    first = np.arange(min(IMAGES, len(labels)))
    if len(np.unique(labels[first])) == len(np.unique(labels)):
        return first
    return np.linspace(0, len(labels) - 1, len(first)).round().astype(int)


def whitening_kernel(
    images: UInt8[np.ndarray, "N H W 3"], spec: Spec, drawn: Float[np.ndarray, "K K 3 F"]
) -> Float[np.ndarray, "K K 3 F"]:
    """Filters whose outputs on patches of the images are uncorrelated and have variance 1: the scaled principal axes.

    Each axis comes with both signs, since a ReLU follows; the axes of largest variance are taken, but none without
    variance, which grey images have. If there are more filters than signed axes, the others stay as drawn.

    Args:
        images: [N, H, W, 3].
        spec: of the data set.
        drawn: the kernel as drawn, [K, K, 3, F].

    Source: arXiv:2404.00498, section 3.2 (there of 2x2 patches, frozen, and without a norm after the convolution).
    """
    size, inputs, filters = len(drawn), len(drawn) ** 2 * 3, drawn.shape[-1]
    height, width = images.shape[1:3]
    rows, columns = height // size, width // size
    line = np.tile(np.array([spec.mean, spec.std], np.float32), width)  # NumPy is slow in loops over 3 channels
    total, count = np.zeros((inputs, inputs)), 0
    for start in range(0, len(images), BLOCK):
        block = (np.asarray(to_float(images[start : start + BLOCK])).reshape(-1, height, width * 3) - line[0]) / line[1]
        tiles = block[:, : rows * size, : columns * size * 3].reshape(-1, rows, size, columns, size * 3)
        patches = tiles.transpose(0, 1, 3, 2, 4).reshape(-1, inputs)
        total, count = total + patches.T @ patches, count + len(patches)
    variances, axes = np.linalg.eigh(total / count)
    axes, variances = axes[:, variances > NONE], variances[variances > NONE]
    scaled = (axes / np.sqrt(variances + EPSILON))[:, ::-1][:, : filters // 2]
    signed = np.concatenate([scaled, -scaled], axis=1).reshape(size, size, 3, -1)
    return np.concatenate([signed, drawn[..., signed.shape[-1] :]], axis=-1).astype(drawn.dtype)


def dirac_kernel(drawn: Float[np.ndarray, "K K C F"]) -> Float[np.ndarray, "K K C F"]:
    """The kernel [K, K, C, F] whose first C filters pass one channel each; the others stay as drawn.

    Source: `torch.nn.init.dirac_` (arXiv:1706.00388); its use here: arXiv:2404.00498, section 3.3.
    """
    kernel, middle, channels = np.array(drawn), len(drawn) // 2, np.arange(min(drawn.shape[2:]))
    kernel[..., channels] = 0
    kernel[middle, middle, channels, channels] = 1
    return kernel
