"""Augmentation on the device: `(key, images, flip) -> images`, with separate random draws for each image.

Images are float32 [B, H, W, 3] in [0, 1]. The random augmentations, at the end of the file, call deterministic
transforms that can be tested alone. torchvision transforms one Pillow image at a time in uint8. Here a batch is
transformed in float32, and nothing is rounded between steps.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Integer, Num, PRNGKeyArray

from jaxattn.data.resized_crop import random_resized_crop
from jaxattn.data.spec import Spec

PADDING = 4  # pixels
LARGE = 64  # pixels
JITTER = 0.2
HUE = 0.1
DEGREES = 15.0

AnyArray = Array | np.ndarray
Augment = Callable[..., AnyArray]  # (key, images, flip=None, padding=PADDING)


def to_float(images: Num[AnyArray, "*N 3"]) -> Float[AnyArray, "*N 3"]:
    """Images [..., 3] in 0-255, of any dtype, to float32 in [0, 1]."""
    return images.astype(jnp.float32) / 255


def normalize(images: Float[AnyArray, "*N 3"], spec: Spec) -> Float[Array, "*N 3"]:
    """(x - mean) / std of the data set, by channel: [..., 3] in [0, 1] to [..., 3]."""
    return (images - _channels(spec.mean, images)) / _channels(spec.std, images)


def to_input(images: Num[AnyArray, "*N 3"], spec: Spec) -> Float[Array, "*N 3"]:
    """Images [..., 3] in 0-255 as input for a network of that data set."""
    return normalize(to_float(images), spec)


def _channels(values, images):
    """One value per channel, shaped to broadcast to images [..., 3]."""
    return jnp.array(values).reshape((1,) * (images.ndim - 1) + (3,))


def crop_and_flip(
    images: Num[AnyArray, "B H W 3"],
    top: Integer[AnyArray, " B"],
    left: Integer[AnyArray, " B"],
    flip: Bool[AnyArray, " B"],
    padding: int = PADDING,
) -> Num[Array, "B H W 3"]:
    """Pads each image with black pixels, crops it to H x W, and flips it horizontally where `flip` is True.

    Args:
        images: [B, H, W, 3].
        top, left: integers [B] in 0..2 * padding, the first row and column of the crop.
        flip: bool [B].
        padding: pixels on each side.
    """
    _, height, width, _ = images.shape
    across = jnp.arange(width)[None]
    rows = jnp.arange(height)[None] + top[:, None] - padding
    columns = jnp.where(flip[:, None], across[:, ::-1], across) + left[:, None] - padding
    return _pixels(images, rows[:, :, None], columns[:, None, :])


def rotate(images: Num[AnyArray, "B H W 3"], degrees: Float[AnyArray, " B"]) -> Num[Array, "B H W 3"]:
    """Rotates each image counterclockwise about its centre: nearest pixel, black outside the input.

    The output pixel at offset (dx, dy) from the centre is the input pixel that holds the point
    (dx cos a - dy sin a, dx sin a + dy cos a), y pointing down: `PIL.Image.rotate`'s rule.

    Args:
        images: [B, H, W, 3].
        degrees: angles [B].
    """
    _, height, width, _ = images.shape
    angle = jnp.deg2rad(degrees)[:, None, None]
    dx = (jnp.arange(width) + 0.5 - width / 2)[None, None, :]
    dy = (jnp.arange(height) + 0.5 - height / 2)[None, :, None]
    columns = jnp.floor(dx * jnp.cos(angle) - dy * jnp.sin(angle) + width / 2).astype(jnp.int32)
    rows = jnp.floor(dx * jnp.sin(angle) + dy * jnp.cos(angle) + height / 2).astype(jnp.int32)
    return _pixels(images, rows, columns)


def _pixels(images, rows, columns):
    """Pixels of images [B, H, W, 3] at rows and columns that broadcast to [B, H, W]; black outside the image."""
    batch, height, width, _ = images.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    picked = images[jnp.arange(batch)[:, None, None], rows.clip(0, height - 1), columns.clip(0, width - 1)]
    return jnp.where(inside[..., None], picked, 0)


def grayscale(images: Float[AnyArray, "*N 3"]) -> Float[Array, "*N 1"]:
    """ITU-R 601 luma, .299 R + .587 G + .114 B: [..., 3] to [..., 1]."""
    return (images * _channels((0.299, 0.587, 0.114), images)).sum(axis=-1, keepdims=True)


def blend(
    images: Float[AnyArray, "B H W 3"],
    other: Float[Array, "B _ _ _"] | float,
    factor: Float[AnyArray, " B"],
) -> Float[Array, "B H W 3"]:
    """factor * images + (1 - factor) * other, clipped to [0, 1].

    Args:
        images: [B, H, W, 3].
        other: broadcasts to the images: [B, 1 or H, 1 or W, 1 or 3], or a scalar.
        factor: [B].
    """
    factor = factor[:, None, None, None]
    return jnp.clip(factor * images + (1 - factor) * other, 0, 1)


def adjust_brightness(images: Float[AnyArray, "B H W 3"], factor: Float[AnyArray, " B"]) -> Float[Array, "B H W 3"]:
    """Blends images [B, H, W, 3] with black by factors [B]."""
    return blend(images, 0.0, factor)


def adjust_contrast(images: Float[AnyArray, "B H W 3"], factor: Float[AnyArray, " B"]) -> Float[Array, "B H W 3"]:
    """Blends images [B, H, W, 3] with the mean of their luma by factors [B]."""
    return blend(images, grayscale(images).mean(axis=(1, 2), keepdims=True), factor)


def adjust_saturation(images: Float[AnyArray, "B H W 3"], factor: Float[AnyArray, " B"]) -> Float[Array, "B H W 3"]:
    """Blends images [B, H, W, 3] with their luma by factors [B]."""
    return blend(images, grayscale(images), factor)


def adjust_hue(images: Float[AnyArray, "B H W 3"], turns: Float[AnyArray, " B"]) -> Float[Array, "B H W 3"]:
    """Adds `turns` [B] (fractions of a full turn) to the HSV hue of images [B, H, W, 3]; saturation and value stay.

    From HSV back to RGB, the channel with n = 5, 3, 1 (R, G, B) is V - C clip(min(k, 4 - k), 0, 1), with V the value,
    C the chroma and k = (n + 6 hue) mod 6.
    """
    red, green, blue = images[..., 0], images[..., 1], images[..., 2]
    value = images.max(axis=-1)
    chroma = value - images.min(axis=-1)
    safe = jnp.where(chroma > 0, chroma, 1)
    sixths = jnp.where(
        value == red,
        (green - blue) / safe,
        jnp.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    k = _channels((5.0, 3.0, 1.0), images) + (sixths + 6 * turns[:, None, None])[..., None]
    k = k - 6 * jnp.floor(k / 6)  # `%` is slow on a CPU
    return value[..., None] - chroma[..., None] * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)


def none(
    key: PRNGKeyArray,
    images: Float[AnyArray, "B H W 3"],
    flip: Bool[AnyArray, " B"] | None = None,
    padding: int = PADDING,
) -> Float[AnyArray, "B H W 3"]:
    """The images [B, H, W, 3], unchanged."""
    return images


def basic(
    key: PRNGKeyArray,
    images: Float[AnyArray, "B H W 3"],
    flip: Bool[AnyArray, " B"] | None = None,
    padding: int = PADDING,
) -> Float[Array, "B H W 3"]:
    """A random crop of each image [B, H, W, 3], padded by `padding` pixels, and a horizontal flip.

    Images with a side of more than `LARGE` pixels get `random_resized_crop` instead. Images are flipped where `flip`
    [B] is True; if it is None, with probability 1/2.
    """
    if max(images.shape[1:3]) > LARGE:
        return random_resized_crop(key, images, flip)
    draws = jax.random.uniform(key, (3, len(images)))  # one call for all draws: each call takes long to compile
    top, left = (draws[:2] * (2 * padding + 1)).astype(int)
    return crop_and_flip(images, top, left, draws[2] < 0.5 if flip is None else flip, padding)


def full(
    key: PRNGKeyArray,
    images: Float[AnyArray, "B H W 3"],
    flip: Bool[AnyArray, " B"] | None = None,
    padding: int = PADDING,
) -> Float[Array, "B H W 3"]:
    """`basic`, then colour jitter, then a rotation by up to 15 degrees, for each image [B, H, W, 3].

    Brightness, contrast and saturation change by factors in 0.8-1.2, hue by up to a tenth of a full turn. torchvision
    draws a random order of these four adjustments for each image; here the order is fixed, as listed.
    """
    key_basic, key_jitter, key_hue, key_angle = jax.random.split(key, 4)
    batch = len(images)
    factors = jax.random.uniform(key_jitter, (3, batch), minval=1 - JITTER, maxval=1 + JITTER)
    images = basic(key_basic, images, flip, padding)
    images = adjust_brightness(images, factors[0])
    images = adjust_contrast(images, factors[1])
    images = adjust_saturation(images, factors[2])
    images = adjust_hue(images, jax.random.uniform(key_hue, (batch,), minval=-HUE, maxval=HUE))
    return rotate(images, jax.random.uniform(key_angle, (batch,), minval=-DEGREES, maxval=DEGREES))


AUGMENT: dict[str, Augment] = {"none": none, "basic": basic, "full": full}


def alternating_flips(rows: Integer[AnyArray, " B"], epoch: Integer[AnyArray, ""] | int) -> Bool[Array, " B"]:
    """Whether each image is flipped in an epoch: half of the images in even epochs, the others in odd ones: bool [B].

    Two successive epochs show every image in both orientations; random flips do that for half of them. A
    multiplicative hash of an image's row, the same for all seeds, decides in which epochs it is flipped.

    Args:
        rows: indices [B] of the images in the data set.
        epoch: scalar, counted from 0.

    Source: arXiv:2404.00498, section 3.6.
    """
    hashed = rows.astype(jnp.uint32) * jnp.uint32(2654435769)  # 2^32 / golden ratio
    return (hashed >> 31 ^ epoch & 1).astype(bool)
