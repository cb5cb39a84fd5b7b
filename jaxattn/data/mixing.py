"""Cutout and mixup: augmentations of a normalised batch."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Integer, PRNGKeyArray

AnyArray = Array | np.ndarray


def hide_square(
    images: Float[AnyArray, "B H W 3"], centres: Integer[AnyArray, "B 2"], side: int
) -> Float[Array, "B H W 3"]:
    """The images with a square of zeros, the mean of a normalised data set; parts outside the image are cut off.

    Args:
        images: normalised, [B, H, W, 3].
        centres: row and column of each square's centre, [B, 2]; for an even side, the pixel after the middle.
        side: of the square, in pixels.
    """
    _, height, width, _ = images.shape
    inside = [
        jnp.abs(jnp.arange(size)[None] - centres[:, axis, None] + (0 if side % 2 else 0.5)) < side / 2
        for axis, size in enumerate((height, width))
    ]
    return jnp.where((inside[0][:, :, None] & inside[1][:, None, :])[..., None], 0, images)


def cutout(key: PRNGKeyArray, images: Float[AnyArray, "B H W 3"], side: int) -> Float[Array, "B H W 3"]:
    """Normalised images [B, H, W, 3] with one square of `side` pixels hidden, whose centre may be any pixel.

    Source: arXiv:1708.04552, section 3.2.
    """
    count, height, width, _ = images.shape
    centres = (jax.random.uniform(key, (count, 2)) * jnp.array([[height, width]])).astype(jnp.int32)
    return hide_square(images, centres, side)


def mixup(
    key: PRNGKeyArray, images: Float[AnyArray, "B H W 3"], alpha: float
) -> tuple[Float[Array, "B H W 3"], Float[Array, ""]]:
    """w images + (1 - w) (the image before each in the batch), with one w for the batch, and w.

    The loss is mixed likewise. The paper shuffles the batch for the second images, where w may be any value; here w is
    the larger of both shares, w = max(b, 1 - b) with b ~ Beta(alpha, alpha), so that each image keeps its own label.

    Args:
        key: scalar.
        images: normalised, in random order, [B, H, W, 3].
        alpha: above 0; the smaller, the more often w is nearly 1.

    Returns:
        The images [B, H, W, 3] and w, a scalar in [1/2, 1].

    Source: arXiv:1710.09412, section 2.
    """
    share = jax.random.beta(key, alpha, alpha)
    weight = jnp.maximum(share, 1 - share)
    return weight * images + (1 - weight) * jnp.roll(images, 1, axis=0), weight
