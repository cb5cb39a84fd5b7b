"""Ten classes of drawn shapes on cluttered ground, each with its mask: a data set without files or network."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxattn.data.splits import Split, Splits

_SIDE = 32  # pixels
_BLOCK = 100  # pictures drawn at once: few enough for a processor's cache
_ROWS, _COLUMNS = np.mgrid[:_SIDE, :_SIDE].astype(np.float32) + np.float32(0.5)  # centres of pixels


def load(data_dir: Path) -> Splits:
    """The shapes of seed 0; nothing in `data_dir` is looked at."""
    del data_dir
    return make()


def make(seed: int = 0, train: int = 10_000, test: int = 2_000) -> Splits:
    """Draws 32x32 pictures of one shape each, of any colour and place, turned by up to half a radian.

    The ground is a gradient with ripples, blobs and lines; there is noise over all, and the contrast may be low.
    Classes are equally frequent, to within one picture. The same arguments give the same pictures.

    Args:
        seed: draws everything.
        train: how many pictures to train on.
        test: how many to test on, from a random stream of their own.

    Returns:
        Both splits with masks, True where the shape covers more than half of the pixel.
    """
    parts = [_split(np.random.default_rng([seed, part]), count) for part, count in enumerate((train, test))]
    return Splits("shapes", tuple(_SHAPES), *parts)


def _split(rng: np.random.Generator, count: int) -> Split:
    labels = rng.permutation(np.arange(count, dtype=np.int32) % len(_SHAPES))
    images = np.empty((count, _SIDE, _SIDE, 3), np.uint8)
    masks = np.empty((count, _SIDE, _SIDE), bool)
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        images[block], masks[block] = _draw(rng, labels[block])
    return Split(images, labels, masks)


def _draw(rng: np.random.Generator, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [B, H, W, 3] and masks [B, H, W] of the classes `labels` [B]."""
    # While they are drawn, pictures are planes [B, 3, H, W] and all else broadcasts to that: far quicker in NumPy.
    count = len(labels)
    x, y, radius = _frame(rng, count)
    coverage = np.empty_like(x)
    for label, distance in enumerate(_SHAPES.values()):
        chosen = labels == label
        coverage[chosen] = np.clip(0.5 - radius[chosen] * distance(x[chosen], y[chosen]), 0, 1)
    picture = _ground(rng, count)
    shade = 1 + _uniform(rng, (count, 1), -0.3, 0.3) * x
    _paint(picture, _contrasting(rng, picture, coverage) * shade, coverage)
    picture += _uniform(rng, (count, 1), 0.01, 0.05) * rng.standard_normal(picture.shape, np.float32)
    picture = (255 * picture.clip(0, 1) + 0.5).astype(np.uint8)
    return picture.transpose(0, 2, 3, 1), coverage[:, 0] > 0.5


def _frame(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each pixel lies in its shape's frame, x and y [B, 1, H, W] in radii; the radius [B, 1, 1, 1] in pixels."""
    radius = _uniform(rng, (count, 1), 8, 13)
    cosine, sine = _direction(rng, (count, 1), 0.5)
    margin = 0.9 * radius
    across = (_COLUMNS - margin - (_SIDE - 2 * margin) * _uniform(rng, (count, 1))) / radius
    down = (_ROWS - margin - (_SIDE - 2 * margin) * _uniform(rng, (count, 1))) / radius
    return cosine * across + sine * down, cosine * down - sine * across, radius


def _ground(rng: np.random.Generator, count: int) -> np.ndarray:
    """What lies behind the shapes, float32 [B, 3, H, W]: a gradient, ripples, three soft blobs and two lines."""
    gradient = 0.5 + _uniform(rng, (count, 1), 0, 0.04) * _slope(rng, (count, 1))
    wave = _uniform(rng, (count, 1), 0.15, 0.6) * _slope(rng, (count, 1))
    ripples = _uniform(rng, (count, 1), 0, 0.25) * np.abs(wave % 2 - 1)
    square = (_COLUMNS - _SIDE * _uniform(rng, (count, 3))) ** 2 + (_ROWS - _SIDE * _uniform(rng, (count, 3))) ** 2
    blobs = _uniform(rng, (count, 3)) / (1 + square / _uniform(rng, (count, 3), 10, 100)) ** 2
    beside = np.abs(_slope(rng, (count, 2)) - _SIDE * _uniform(rng, (count, 2), -0.5, 0.5))
    lines = _uniform(rng, (count, 2), 0.2, 1) * (_uniform(rng, (count, 2), 0.6, 1.6) - beside).clip(0, 1)
    ground = np.zeros((count, 3, _SIDE, _SIDE), np.float32) + _colours(rng, count)
    for layers in (gradient.clip(0, 1), ripples, blobs, lines):
        for layer in range(layers.shape[1]):
            _paint(ground, _colours(rng, count), layers[:, layer : layer + 1])
    return ground


def _slope(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Pixels from the picture's middle, counted along a random direction: [*shape, H, W]."""
    cosine, sine = _direction(rng, shape, math.pi)
    return cosine * (_COLUMNS - _SIDE / 2) + sine * (_ROWS - _SIDE / 2)


def _direction(rng: np.random.Generator, shape: tuple[int, int], spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine, [*shape, 1, 1], of angles up to `spread` radians either way."""
    angle = rng.uniform(-spread, spread, (*shape, 1, 1))
    # In double precision, where machines differ too little to be seen; all else here is exact arithmetic everywhere.
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def _contrasting(rng: np.random.Generator, ground: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Colours [B, 3, 1, 1] for shapes: of two drawn the one less like the ground there, then moved towards that."""
    count = len(ground)
    behind = np.sum(coverage * ground, (2, 3), keepdims=True) / coverage.sum((2, 3), keepdims=True)
    one, two = _colours(rng, count), _colours(rng, count)
    farther = np.abs(one - behind).sum(1, keepdims=True) > np.abs(two - behind).sum(1, keepdims=True)
    return behind + _uniform(rng, (count, 1), 0.7, 1) * (np.where(farther, one, two) - behind)


def _paint(picture: np.ndarray, colour: np.ndarray, opacity: np.ndarray) -> None:
    """Lays `colour` [B, 3, H or 1, W or 1] over `picture` [B, 3, H, W], with `opacity` [B, 1, H, W] in 0..1."""
    coat = colour - picture
    coat *= opacity
    picture += coat


def _colours(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.random((count, 3, 1, 1), np.float32)


def _uniform(rng: np.random.Generator, shape: tuple[int, int], low: float = 0, high: float = 1) -> np.ndarray:
    return low + (high - low) * rng.random((*shape, 1, 1), np.float32)


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)


# One function a class: how far a point lies outside the edge (negative: inside), in radii. That is exact beside the
# edge itself, which is all that smooth edges need.


def _disc(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _length(x, y) - 1


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(_length(x, y) - 0.75) - 0.25


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(_length(x, y) - 1, 0.85 - _length(x - 0.55, y))


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(x), np.abs(y)) - 0.85


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(y, 0.75**0.5 * np.abs(x) - 0.5 * y) - 0.55


def _hexagon(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(y), 0.75**0.5 * np.abs(x) + 0.5 * np.abs(y)) - 0.88


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 1, np.minimum(x, y) - 0.3)


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Five lines make a pentagram; its points lie inside at least four of them.
    angles = [2 * math.pi * tip / 5 for tip in range(5)]
    return np.sort([math.sin(angle) * x + math.cos(angle) * y for angle in angles], 0)[-2] - 0.35


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # A square on its corner with half a disc on either upper side.
    right, left, half = (x - y) / 2**0.5, (-x - y) / 2**0.5, 0.6
    square = np.maximum(np.abs(right), np.abs(left)) - half
    return np.minimum(square, np.minimum(_length(right - half, left), _length(right, left - half)) - half)


def _arrow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    y = np.abs(y)
    shaft = np.maximum(np.abs(x + 0.35) - 0.7, y - 0.2)
    head = np.maximum(0.05 - x, 0.6 * (x - 1.05) + 0.8 * y)
    return np.minimum(shaft, head)


_SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
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
