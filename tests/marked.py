"""A network of one block whose prediction can be told by hand from what its gates say."""

import jax
import jax.numpy as jnp
import numpy as np
import tiny
from flax import linen as nn
from report_runs import drawn

from jaxattn.attention import Gate
from jaxattn.networks import CNN


def marked(x):
    """One for the channel of an image's kind, zero for the others, [B, 1, 1, 4], from x [B, H, W, 4]."""
    return jax.nn.one_hot(jnp.round(4 * x.mean(axis=(1, 2, 3))).astype(int) - 1, 4)[:, None, None, :]


class Marker(Gate):
    """A gate that opens the channel of an image's kind."""

    @nn.compact
    def gate(self, x):
        return marked(x)


def by_hand(attention):
    """A network with four equal channels, the grey value of an image. It predicts the one that the gates open most.

    Where they open all alike, it predicts the last.
    """
    model = CNN(classes=4, widths=(4,), hidden=4, attention=attention)
    variables = jax.tree.map(np.zeros_like, drawn(model, 0, (4, 4, 3)))
    block, stats = variables["params"]["block_1"], variables["batch_stats"]["block_1"]
    block["conv"]["kernel"][1, 1, 0], block["conv"]["bias"][:] = tiny.SPEC.std[0], tiny.SPEC.mean[0]
    block["norm"]["scale"][:] = stats["norm"]["var"][:] = 1
    variables["params"]["hidden"]["kernel"][:] = np.tile(np.eye(4), (4, 1))  # from 2x2 positions
    variables["params"]["head"]["kernel"][:] = np.eye(4)
    variables["params"]["head"]["bias"][3] = 1e-3
    return model, tiny.SPEC, variables


def of_kinds(kinds):
    """Grey images [N, 4, 4, 3] of kinds int [N] in 0-3: nearly a quarter, two, three, four of white."""
    grey = (64 * (kinds + 1) - 1).astype(np.uint8)
    return np.broadcast_to(grey[:, None, None, None], (len(kinds), 4, 4, 3))
