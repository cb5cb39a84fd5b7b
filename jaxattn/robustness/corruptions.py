"""Corruptions of test images, each in five severities: pure functions of images and a generator.

The kinds are those of CIFAR-10-C, but the severities are our own: accuracies on them cannot be compared with published
ones on CIFAR-10-C. Lengths are given for 32 pixels and scale with the image, so that images of all sizes are corrupted
alike.

Source: arXiv:1903.12261 (the kinds of corruption, and five severities); shift and rotation are ours.
"""

import io
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import UInt8

from jaxattn.errors import InputError, lookup

SEVERITIES = (1, 2, 3, 4, 5)
VERSION = "2"  # of these corruptions
SIDE = 32  # pixels, for which lengths are given
_NOISE = (0.03, 0.05, 0.07, 0.09, 0.12)  # standard deviation, of values from 0 to 1
_BLUR = (0.4, 0.6, 0.8, 1.0, 1.3)  # standard deviation, pixels
_BRIGHTNESS = (0.05, 0.1, 0.15, 0.2, 0.3)  # added to values from 0 to 1
_CONTRAST = (0.75, 0.6, 0.45, 0.3, 0.15)  # what remains of the deviation from the mean
_JPEG = (80, 60, 40, 25, 15)  # quality
_PIXELATION = (0.8, 0.65, 0.5, 0.4, 0.3)  # of the pixels along a side
_SHIFT = (2, 4, 6, 8, 10)  # pixels
_ROTATION = (6, 12, 18, 24, 30)  # degrees
_CHUNK = 1 << 22  # values that are held as floats at a time

Images = UInt8[np.ndarray, "N H W C"]
Corruption = Callable[[Images, int, np.random.Generator], Images]


def corrupt(name: str, severity: int, images: Images) -> Images:
    """Images [N, H, W, C] corrupted: the same for the same images, bit for bit with the same versions.

    Args:
        name: a key of `CORRUPTIONS`.
        severity: 1 to 5.
        images: uint8 [N, H, W, C], C being 1 (grey) or 3; they are not changed.

    Raises:
        InputError: if the corruption or the severity is not known, or the images are of another type or shape.
    """
    corruption = lookup("corruption", name, CORRUPTIONS)
    if severity not in SEVERITIES:
        raise InputError(f"severity must be 1 to 5, got {severity}")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise InputError(f"images must be uint8 [N, H, W, 1 or 3], got {images.dtype} {list(images.shape)}")
    rng = np.random.default_rng([zlib.crc32(name.encode()), severity])
    size = max(1, _CHUNK // max(1, int(np.prod(images.shape[1:]))))
    parts = [corruption(np.asarray(images[i : i + size]), severity, rng) for i in range(0, len(images), size)]
    return np.concatenate(parts) if parts else images.copy()


def noise(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Adds Gaussian noise, independent in each value, to images [N, H, W, C]."""
    drawn = rng.standard_normal(images.shape, np.float32)
    return _rounded(images + 255 * np.float32(_NOISE[severity - 1]) * drawn)


def blur(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Blurs images [N, H, W, C] by a Gaussian; pixels at an edge are repeated beyond it."""
    from scipy import ndimage

    sigma = _scaled(_BLUR, severity, images)
    return _rounded(ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0), mode="nearest"))


def brightness(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Adds one number to all values of images [N, H, W, C]."""
    return _rounded(images + np.float32(255 * _BRIGHTNESS[severity - 1]))


def contrast(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Moves the values of images [N, H, W, C] towards the mean of their image and channel."""
    mean = images.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    return _rounded(mean + np.float32(_CONTRAST[severity - 1]) * (images - mean))


def jpeg(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Compresses each of images [N, H, W, C] as JPEG."""
    from PIL import Image

    def stored(image):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=_JPEG[severity - 1])
        return Image.open(file)

    return _each(images, stored)


def pixelation(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Averages each of images [N, H, W, C] to fewer pixels, and enlarges them again without smoothing."""
    from PIL import Image

    def pixelated(image):
        fewer = tuple(max(1, round(_PIXELATION[severity - 1] * side)) for side in image.size)
        return image.resize(fewer, Image.Resampling.BOX).resize(image.size, Image.Resampling.NEAREST)

    return _each(images, pixelated)


def shift(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Moves each of images [N, H, W, C] up, down, left or right at random; pixels at an edge are repeated beyond it."""
    pixels = max(1, round(_scaled(_SHIFT, severity, images)))
    directions, moved = rng.integers(4, size=len(images)), np.empty_like(images)
    for direction, (down, right) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
        rows, columns = (
            np.clip(np.arange(side) - pixels * sign, 0, side - 1)
            for side, sign in zip(images.shape[1:3], (down, right), strict=True)
        )
        moved[directions == direction] = images[directions == direction][:, rows][:, :, columns]
    return moved


def rotation(images: Images, severity: int, rng: np.random.Generator) -> Images:
    """Turns each of images [N, H, W, C] left or right at random; pixels at an edge are repeated beyond it."""
    from scipy import ndimage

    is_left, turned = rng.integers(2, size=len(images)) == 1, np.empty_like(images)
    for chosen, sign in ((is_left, 1), (~is_left, -1)):
        angle = sign * _ROTATION[severity - 1]
        turned[chosen] = ndimage.rotate(images[chosen], angle, (2, 1), reshape=False, order=1, mode="nearest")
    return turned


CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {one.__name__: one for one in (noise, blur, brightness, contrast, jpeg, pixelation, shift, rotation)}
)


def _scaled(lengths, severity, images):
    """A length in pixels, scaled to the size of the images."""
    return lengths[severity - 1] * min(images.shape[1:3]) / SIDE


def _rounded(values):
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _each(images, change):
    """Applies a function of a Pillow image to each image."""
    from PIL import Image

    shape = images.shape[1:3] if images.shape[-1] == 1 else images.shape[1:]
    changed = [np.asarray(change(Image.fromarray(image.reshape(shape)))) for image in images]
    return np.stack(changed).reshape(images.shape)
