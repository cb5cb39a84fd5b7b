"""Your own module, compared with no attention and with squeeze-and-excitation: does it help?

python examples/own_module.py runs/mine        # about five minutes on two cores
"""

import sys

import jax
import jax.numpy as jnp
from flax import linen as nn

import jaxattn
from jaxattn.attention import Gate


class DeviationGate(Gate):
    """Weights each channel by how much it varies over the image: s = sigmoid(a std(x) + b)."""

    @nn.compact
    def gate(self, x: jax.Array) -> jax.Array:
        """Weights in (0, 1), [B, 1, 1, C], of x [B, H, W, C]."""
        shape = (1, 1, 1, x.shape[-1])
        scale, bias = (self.param(name, nn.initializers.zeros, shape) for name in ("scale", "bias"))
        return nn.sigmoid(scale * jnp.sqrt(x.var(axis=(1, 2), keepdims=True) + 1e-5) + bias)


def main(out: str, seeds: int = 3, **settings) -> None:
    """Trains the variants with the same seeds, and prints the verdicts; `compare.html` in `out` has the rest."""
    result = jaxattn.compare(["none", "se", "own_module:DeviationGate"], seeds, out, **settings)
    print(result)


if __name__ == "__main__":
    main(sys.argv[1], dataset="shapes", epochs=2)
