"""Augmentation on the device: `(key, images) -> images`, drawn anew for each image.

Images are float32 [B, H, W, 3] in [0, 1]. Each transform stands beside the formula that it applies, so that the
formula can be checked alone. What torchvision does to one Pillow image in uint8 is done here to a batch in float32:
nothing is rounded between steps.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)

PADDING = 4
JITTER = 0.2
HUE = 0.1
DEGREES = 15.0

Augment = Callable[[jax.Array, jax.Array], jax.Array]


def to_float(images: jax.Array) -> jax.Array:
    """uint8 [..., 3] in 0-255 to float32 in [0, 1]."""
    return images.astype(jnp.float32) / 255


def normalize(images: jax.Array) -> jax.Array:
    """(x - mean) / std by channel, with CIFAR-10's statistics: [..., 3] in [0, 1] to about zero mean, unit variance."""
    return (images - _channels(MEAN, images)) / _channels(STD, images)


def denormalize(images: jax.Array) -> jax.Array:
    """Undoes `normalize`, clipped to [0, 1]."""
    return jnp.clip(images * _channels(STD, images) + _channels(MEAN, images), 0, 1)


def _channels(values, images):
    """One number a channel, shaped to broadcast to images [..., 3]."""
    return jnp.array(values).reshape((1,) * (images.ndim - 1) + (3,))


def crop_and_flip(images: jax.Array, top: jax.Array, left: jax.Array, flip: jax.Array) -> jax.Array:
    """Cuts H x W out of each image framed in `PADDING` black pixels, then mirrors it left to right.

    Args:
        images: [B, H, W, 3].
        top, left: integers [B] in 0..2 * PADDING, the first row and column of the cut.
        flip: bool [B].
    """
    _, height, width, _ = images.shape
    across = jnp.arange(width)[None]
    rows = jnp.arange(height)[None] + top[:, None] - PADDING
    columns = jnp.where(flip[:, None], across[:, ::-1], across) + left[:, None] - PADDING
    return _pixels(images, rows[:, :, None], columns[:, None, :])


def rotate(images: jax.Array, degrees: jax.Array) -> jax.Array:
    """Turns each image counterclockwise about its centre: nearest pixel, black where nothing was.

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
    """Pixels of each image at rows and columns that broadcast to [B, H, W]; black outside."""
    batch, height, width, _ = images.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    picked = images[jnp.arange(batch)[:, None, None], rows.clip(0, height - 1), columns.clip(0, width - 1)]
    return jnp.where(inside[..., None], picked, 0)


def grayscale(images: jax.Array) -> jax.Array:
    """ITU-R 601 luma, .299 R + .587 G + .114 B: [..., 3] to [..., 1]."""
    return (images * _channels((0.299, 0.587, 0.114), images)).sum(axis=-1, keepdims=True)


def blend(images: jax.Array, other: jax.typing.ArrayLike, factor: jax.Array) -> jax.Array:
    """factor * images + (1 - factor) * other, clipped to [0, 1]; factors [B] for images [B, H, W, 3]."""
    factor = factor[:, None, None, None]
    return jnp.clip(factor * images + (1 - factor) * other, 0, 1)


def adjust_brightness(images: jax.Array, factor: jax.Array) -> jax.Array:
    """Blends images [B, H, W, 3] with black by factors [B]."""
    return blend(images, 0.0, factor)


def adjust_contrast(images: jax.Array, factor: jax.Array) -> jax.Array:
    """Blends images [B, H, W, 3] with the mean of their luma by factors [B]."""
    return blend(images, grayscale(images).mean(axis=(1, 2), keepdims=True), factor)


def adjust_saturation(images: jax.Array, factor: jax.Array) -> jax.Array:
    """Blends images [B, H, W, 3] with their luma by factors [B]."""
    return blend(images, grayscale(images), factor)


def adjust_hue(images: jax.Array, turns: jax.Array) -> jax.Array:
    """Adds `turns` [B] (fractions of the colour circle) to the hue in HSV, keeping saturation and value.

    Back from HSV, channel n of (5, 3, 1) is V - C clip(min(k, 4 - k), 0, 1), with V the value, C the chroma and
    k = (n + 6 hue) mod 6.
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
    k = k - 6 * jnp.floor(k / 6)  # `%` takes a slow path on a CPU
    return value[..., None] - chroma[..., None] * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)


def none(key: jax.Array, images: jax.Array) -> jax.Array:
    """The images [B, H, W, 3] as they are."""
    return images


def basic(key: jax.Array, images: jax.Array) -> jax.Array:
    """A random cut of each padded image [B, H, W, 3], mirrored one time in two."""
    draws = jax.random.uniform(key, (3, len(images)))  # one call for all: each takes long to compile
    top, left = (draws[:2] * (2 * PADDING + 1)).astype(int)
    return crop_and_flip(images, top, left, draws[2] < 0.5)


def full(key: jax.Array, images: jax.Array) -> jax.Array:
    """`basic`, then colour jitter, then a turn by up to 15 degrees, of each image [B, H, W, 3].

    Brightness, contrast and saturation change by factors in .8-1.2, hue by up to a tenth of the colour circle.
    torchvision draws the order of the four jitters anew for each image; here it is the order above.
    """
    key_basic, key_jitter, key_hue, key_angle = jax.random.split(key, 4)
    batch = len(images)
    factors = jax.random.uniform(key_jitter, (3, batch), minval=1 - JITTER, maxval=1 + JITTER)
    images = basic(key_basic, images)
    images = adjust_brightness(images, factors[0])
    images = adjust_contrast(images, factors[1])
    images = adjust_saturation(images, factors[2])
    images = adjust_hue(images, jax.random.uniform(key_hue, (batch,), minval=-HUE, maxval=HUE))
    return rotate(images, jax.random.uniform(key_angle, (batch,), minval=-DEGREES, maxval=DEGREES))


AUGMENT: dict[str, Augment] = {"none": none, "basic": basic, "full": full}
