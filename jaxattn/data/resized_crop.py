"""The crop that augments larger images: a random part of the image, resized to the size of the whole."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, PRNGKeyArray

AREA = (0.08, 1.0)  # of the image
RATIO = (3 / 4, 4 / 3)  # width to height, relative to the image's own
AnyArray = Array | np.ndarray


def resized_crop(images: Float[AnyArray, "B H W 3"], boxes: Float[AnyArray, "B 4"]) -> Float[Array, "B H W 3"]:
    """A part of each image, resized to H x W: bilinear, antialiased where it shrinks.

    Args:
        images: [B, H, W, 3].
        boxes: top, left, height and width of each part in pixels, [B, 4].
    """
    _, height, width, _ = images.shape
    size = jnp.array([height, width], jnp.float32)

    def one(image, box):
        scale = size / box[2:]
        return jax.image.scale_and_translate(image, image.shape, (0, 1), scale, -box[:2] * scale, "linear")

    return jax.vmap(one)(jnp.asarray(images), jnp.asarray(boxes))


def draw_boxes(key: PRNGKeyArray, count: int, height: int, width: int) -> Float[Array, "B 4"]:
    """Top, left, height and width of random parts of images of this size, [B, 4].

    A part's fraction of the image's area is uniform in `AREA`; its ratio is log-uniform in `RATIO`.

    Args:
        key: scalar.
        count: number of images B.
        height, width: of an image, in pixels.

    Source: "Inception" crops, arXiv:1409.4842, section 6, as torchvision's `RandomResizedCrop` draws them; if a side is
    longer than the image's, torchvision draws again, up to ten times; here it is cut to the image's.
    """
    area, ratio, down, across = jax.random.uniform(key, (4, count))
    area = AREA[0] + (AREA[1] - AREA[0]) * area
    ratio = jnp.exp(math.log(RATIO[0]) + math.log(RATIO[1] / RATIO[0]) * ratio)
    tall = jnp.minimum(jnp.sqrt(area / ratio), 1) * height
    wide = jnp.minimum(jnp.sqrt(area * ratio), 1) * width
    return jnp.stack([down * (height - tall), across * (width - wide), tall, wide], axis=1)


def random_resized_crop(
    key: PRNGKeyArray, images: Float[AnyArray, "B H W 3"], flip: Bool[AnyArray, " B"] | None = None
) -> Float[Array, "B H W 3"]:
    """A random part of each image [B, H, W, 3], resized to H x W, and a horizontal flip.

    Images are flipped where `flip` [B] is True; if it is None, with probability 1/2.
    """
    key_box, key_flip = jax.random.split(key)
    count, height, width, _ = images.shape
    cropped = resized_crop(images, draw_boxes(key_box, count, height, width))
    flip = jax.random.bernoulli(key_flip, shape=(count,)) if flip is None else flip
    return jnp.where(flip[:, None, None, None], cropped[:, :, ::-1], cropped)
