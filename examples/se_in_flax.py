"""Squeeze-and-excitation in your own Flax network, and the weights of its gate for each image.

python examples/se_in_flax.py
"""

import jax
from flax import linen as nn

from jaxattn.attention import SE


class Network(nn.Module):
    """Two convolutions with attention between them."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits [B, 10] of images [B, H, W, 3]."""
        x = nn.relu(nn.Conv(32, (3, 3))(x))
        x = SE(reduction=4, name="attention")(x)
        x = nn.relu(nn.Conv(64, (3, 3), strides=2)(x))
        return nn.Dense(10)(x.mean(axis=(1, 2)))


def main() -> jax.Array:
    """The weight of each of 32 channels for each of 4 images, [4, 1, 1, 32]."""
    images = jax.random.normal(jax.random.key(0), (4, 32, 32, 3))
    network = Network()
    variables = network.init(jax.random.key(1), images)
    _, state = network.apply(variables, images, capture_intermediates=lambda module, method: method == "gate")
    (gate,) = state["intermediates"]["attention"]["gate"]
    return gate


if __name__ == "__main__":
    weights = main()
    print(f"gate {weights.shape}: weights from {weights.min():.3f} to {weights.max():.3f}")
