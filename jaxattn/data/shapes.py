"""Ten classes of drawn shapes on cluttered backgrounds, with masks: a data set that needs no files or network."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from jaxattn.data.dataset import Dataset
from jaxattn.data.spec import Spec
from jaxattn.data.splits import Split, Splits

_SIDE = 32  # pixels
_TRAIN, _TEST = 10_000, 2_000  # images
_BLOCK = 100  # images drawn at once: few enough for a processor's cache
_Plane = Float32[np.ndarray, "B 1 H W"]
_Planes = Float32[np.ndarray, "B 3 H W"]
_ROWS, _COLUMNS = np.mgrid[:_SIDE, :_SIDE].astype(np.float32) + np.float32(0.5)  # centres of pixels


def load(data_dir: Path) -> Splits:
    """The shapes of seed 0; `data_dir` is not read."""
    del data_dir
    return make()


def make(seed: int = 0, train: int = _TRAIN, test: int = _TEST) -> Splits:
    """Draws 32x32 images of one shape each, in any colour and position, rotated by up to half a radian.

    The background is a gradient with ripples, blobs and lines. Noise covers the whole image, and the contrast may be
    low. Classes are equally frequent, to within one image. The same arguments give the same images.

    Args:
        seed: the seed of all random draws.
        train: the number of training images.
        test: the number of test images, which have their own random stream.

    Returns:
        Both splits with masks, True where the shape covers more than half of the pixel.
    """
    parts = [_split(np.random.default_rng([seed, part]), count) for part, count in enumerate((train, test))]
    return Splits(SPEC, *parts)


def _split(rng: np.random.Generator, count: int) -> Split:
    labels = rng.permutation(np.arange(count, dtype=np.int32) % len(_SHAPES))
    images = np.empty((count, _SIDE, _SIDE, 3), np.uint8)
    masks = np.empty((count, _SIDE, _SIDE), bool)
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        images[block], masks[block] = _draw(rng, labels[block])
    return Split(images, labels, masks)


def _draw(
    rng: np.random.Generator, labels: Int32[np.ndarray, " B"]
) -> tuple[UInt8[np.ndarray, "B H W 3"], Bool[np.ndarray, "B H W"]]:
    """Images uint8 [B, H, W, 3] and masks bool [B, H, W] of the classes `labels` [B]."""
    # Images are drawn as [B, 3, H, W], and all other arrays broadcast to that: much faster in NumPy.
    count = len(labels)
    x, y, radius = _frame(rng, count)
    coverage = np.empty_like(x)
    for label, distance in enumerate(_SHAPES.values()):
        chosen = labels == label
        coverage[chosen] = np.clip(0.5 - radius[chosen] * distance(x[chosen], y[chosen]), 0, 1)
    images = _background(rng, count)
    shade = 1 + _uniform(rng, (count, 1), -0.3, 0.3) * x
    _paint(images, _contrasting(rng, images, coverage) * shade, coverage)
    images += _uniform(rng, (count, 1), 0.01, 0.05) * rng.standard_normal(images.shape, np.float32)
    images = (255 * images.clip(0, 1) + 0.5).astype(np.uint8)
    return images.transpose(0, 2, 3, 1), coverage[:, 0] > 0.5


def _frame(rng: np.random.Generator, count: int) -> tuple[_Plane, _Plane, Float32[np.ndarray, "B 1 1 1"]]:
    """Coordinates of each pixel from the shape's centre, x and y [B, 1, H, W] in radii; the radius [B, 1, 1, 1]."""
    radius = _uniform(rng, (count, 1), 8.0, 13.0)
    cosine, sine = _direction(rng, (count, 1), 0.5)
    margin = 0.9 * radius
    across = (_COLUMNS - margin - (_SIDE - 2 * margin) * _uniform(rng, (count, 1))) / radius
    down = (_ROWS - margin - (_SIDE - 2 * margin) * _uniform(rng, (count, 1))) / radius
    return cosine * across + sine * down, cosine * down - sine * across, radius


def _background(rng: np.random.Generator, count: int) -> _Planes:
    """The background of the shapes, float32 [B, 3, H, W]: a gradient, ripples, three soft blobs and two lines."""
    gradient = 0.5 + _uniform(rng, (count, 1), 0.0, 0.04) * _slope(rng, (count, 1))
    wave = _uniform(rng, (count, 1), 0.15, 0.6) * _slope(rng, (count, 1))
    ripples = _uniform(rng, (count, 1), 0.0, 0.25) * np.abs(wave % 2 - 1)
    square = (_COLUMNS - _SIDE * _uniform(rng, (count, 3))) ** 2 + (_ROWS - _SIDE * _uniform(rng, (count, 3))) ** 2
    blobs = _uniform(rng, (count, 3)) / (1 + square / _uniform(rng, (count, 3), 10.0, 100.0)) ** 2
    distance = np.abs(_slope(rng, (count, 2)) - _SIDE * _uniform(rng, (count, 2), -0.5, 0.5))
    lines = _uniform(rng, (count, 2), 0.2, 1.0) * (_uniform(rng, (count, 2), 0.6, 1.6) - distance).clip(0, 1)
    background = np.zeros((count, 3, _SIDE, _SIDE), np.float32) + _colours(rng, count)
    for layers in (gradient.clip(0, 1), ripples, blobs, lines):
        for layer in range(layers.shape[1]):
            _paint(background, _colours(rng, count), layers[:, layer : layer + 1])
    return background


def _slope(rng: np.random.Generator, shape: tuple[int, int]) -> Float32[np.ndarray, "B n H W"]:
    """Distance in pixels from the image's centre along a random direction: [*shape, H, W]."""
    cosine, sine = _direction(rng, shape, math.pi)
    return cosine * (_COLUMNS - _SIDE / 2) + sine * (_ROWS - _SIDE / 2)


def _direction(
    rng: np.random.Generator, shape: tuple[int, int], spread: float
) -> tuple[Float32[np.ndarray, "B n 1 1"], Float32[np.ndarray, "B n 1 1"]]:
    """Cosine and sine, [*shape, 1, 1], of angles between -`spread` and `spread` radians."""
    angle = rng.uniform(-spread, spread, (*shape, 1, 1))
    # Computed in float64, since machines differ in the last bits; rounded to float32, these no longer show. All other
    # operations here give the same bits on every machine.
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def _contrasting(rng: np.random.Generator, background: _Planes, coverage: _Plane) -> Float32[np.ndarray, "B 3 1 1"]:
    """Colours [B, 3, 1, 1] of shapes: the one of two draws that differs more from the background, moved towards it.

    Args:
        rng: draws the colours.
        background: [B, 3, H, W].
        coverage: how much of each pixel the shape covers, [B, 1, H, W] in 0..1.
    """
    count = len(background)
    behind = np.sum(coverage * background, (2, 3), keepdims=True) / coverage.sum((2, 3), keepdims=True)
    one, two = _colours(rng, count), _colours(rng, count)
    farther = np.abs(one - behind).sum(1, keepdims=True) > np.abs(two - behind).sum(1, keepdims=True)
    return behind + _uniform(rng, (count, 1), 0.7, 1.0) * (np.where(farther, one, two) - behind)


def _paint(images: _Planes, colour: Float32[np.ndarray, "B 3 _ _"], opacity: _Plane) -> None:
    """Blends `colour` [B, 3, H or 1, W or 1] into `images` [B, 3, H, W] in place, by `opacity` [B, 1, H, W] in 0..1."""
    change = colour - images
    change *= opacity
    images += change


def _colours(rng: np.random.Generator, count: int) -> Float32[np.ndarray, "B 3 1 1"]:
    return rng.random((count, 3, 1, 1), np.float32)


def _uniform(
    rng: np.random.Generator, shape: tuple[int, int], low: float = 0.0, high: float = 1.0
) -> Float32[np.ndarray, "B n 1 1"]:
    return low + (high - low) * rng.random((*shape, 1, 1), np.float32)


def _length(x: _Plane, y: _Plane) -> _Plane:
    return np.sqrt(x * x + y * y)


# One signed distance function for each class: the distance of a point from the edge in radii, negative inside. It is
# exact only near the edge, which is enough for smooth edges.


def _disc(x: _Plane, y: _Plane) -> _Plane:
    return _length(x, y) - 1


def _ring(x: _Plane, y: _Plane) -> _Plane:
    return np.abs(_length(x, y) - 0.75) - 0.25


def _crescent(x: _Plane, y: _Plane) -> _Plane:
    return np.maximum(_length(x, y) - 1, 0.85 - _length(x - 0.55, y))


def _square(x: _Plane, y: _Plane) -> _Plane:
    return np.maximum(np.abs(x), np.abs(y)) - 0.85


def _triangle(x: _Plane, y: _Plane) -> _Plane:
    return np.maximum(y, 0.75**0.5 * np.abs(x) - 0.5 * y) - 0.55


def _hexagon(x: _Plane, y: _Plane) -> _Plane:
    return np.maximum(np.abs(y), 0.75**0.5 * np.abs(x) + 0.5 * np.abs(y)) - 0.88


def _cross(x: _Plane, y: _Plane) -> _Plane:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 1, np.minimum(x, y) - 0.3)


def _star(x: _Plane, y: _Plane) -> _Plane:
    # Five lines form a pentagram; a point of it is on the inner side of at least four of them.
    angles = [2 * math.pi * tip / 5 for tip in range(5)]
    return np.sort([math.sin(angle) * x + math.cos(angle) * y for angle in angles], 0)[-2] - 0.35


def _heart(x: _Plane, y: _Plane) -> _Plane:
    # A square standing on its corner, with half a disc on each of the two upper sides.
    right, left, half = (x - y) / 2**0.5, (-x - y) / 2**0.5, 0.6
    square = np.maximum(np.abs(right), np.abs(left)) - half
    return np.minimum(square, np.minimum(_length(right - half, left), _length(right, left - half)) - half)


def _arrow(x: _Plane, y: _Plane) -> _Plane:
    y = np.abs(y)
    shaft = np.maximum(np.abs(x + 0.35) - 0.7, y - 0.2)
    head = np.maximum(0.05 - x, 0.6 * (x - 1.05) + 0.8 * y)
    return np.minimum(shaft, head)


_SHAPES: dict[str, Callable[[_Plane, _Plane], _Plane]] = {
    "disc": _disc,
    "ring": _ring,
    "crescent": _crescent,
    "square": _square,
    "triangle": _triangle,
    "hexagon": _hexagon,
    "cross": _cross,
    "star": _star,
    "heart": _heart,
    "arrow": _arrow,
}

SPEC = Spec(
    name="shapes",
    classes=tuple(_SHAPES),
    image_shape=(_SIDE, _SIDE, 3),
    train=_TRAIN,
    test=_TEST,
    mean=(0.4996, 0.5008, 0.4992),
    std=(0.2120, 0.2122, 0.2112),
    source="drawn by jaxattn; no rights reserved",
)
DATASET = Dataset(SPEC, load, origin="drawn on demand")
