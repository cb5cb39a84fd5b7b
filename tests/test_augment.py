"""Each transform equals its definition: Pillow's, torchvision's or the standard library's, worked out here."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from jaxattn.data import augment, cifar10

BATCH = 6
FACTORS = np.array([0.8, 0.9, 1.0, 1.1, 1.15, 1.2], np.float32)
# Pillow rounds to whole levels after each step; we do not.
LEVEL = 1.01 / 255


@pytest.fixture
def images():
    """Smooth random colour images, uint8 [B, 32, 32, 3]."""
    coarse = np.random.default_rng(0).integers(0, 256, (BATCH, 5, 5, 3)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((32, 32), Image.Resampling.BILINEAR)) for c in coarse])


def test_images_are_normalised_by_the_published_statistics():
    image = np.zeros((1, 1, 1, 3), np.float32) + 0.5
    expected = [(0.5 - 0.4914) / 0.2023, (0.5 - 0.4822) / 0.1994, (0.5 - 0.4465) / 0.2010]
    np.testing.assert_allclose(augment.normalize(image, cifar10.SPEC)[0, 0, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(augment.to_input(255 * image, cifar10.SPEC)[0, 0, 0], expected, rtol=1e-5)


def test_crop_cuts_the_padded_image_and_mirrors_it(images):
    top, left = np.array([0, 8, 4, 1, 7, 3]), np.array([8, 0, 4, 6, 2, 5])
    flip = np.array([False, True, False, True, True, False])
    ours = augment.crop_and_flip(images, top, left, flip)
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    for i in range(BATCH):
        cut = padded[i, top[i] : top[i] + 32, left[i] : left[i] + 32]
        np.testing.assert_array_equal(ours[i], cut[:, ::-1] if flip[i] else cut)


@pytest.mark.parametrize("size", [(32, 32), (31, 20)])
def test_rotation_equals_pillows(images, size):
    height, width = size
    images = images[:, :height, :width]
    degrees = np.array([-15, -7.3, 0, 3.1, 11, 15], np.float32)
    ours = np.asarray(augment.rotate(images, degrees))
    turned = [
        Image.fromarray(p).rotate(float(d), Image.Resampling.NEAREST) for p, d in zip(images, degrees, strict=True)
    ]
    theirs = np.stack([np.asarray(image) for image in turned])
    # A point that falls on the edge of two pixels may go to either: float32 here, float64 there.
    assert (ours != theirs).any(axis=-1).mean() < 1e-3


@pytest.mark.parametrize(
    ("ours", "pillow"),
    [
        (augment.adjust_brightness, ImageEnhance.Brightness),
        (augment.adjust_contrast, ImageEnhance.Contrast),
        (augment.adjust_saturation, ImageEnhance.Color),
    ],
)
def test_jitter_equals_pillows_enhancement(images, ours, pillow):
    theirs = [np.asarray(pillow(Image.fromarray(p)).enhance(float(f))) for p, f in zip(images, FACTORS, strict=True)]
    # 2 levels: Pillow also rounds the grey image, and the mean of it, before it blends.
    np.testing.assert_allclose(ours(augment.to_float(images), FACTORS), np.stack(theirs) / 255, atol=2 * LEVEL)


def test_hue_equals_the_shift_in_hsv(images):
    turns = np.array([-0.1, -0.04, 0.0, 0.03, 0.07, 0.1], np.float32)
    images[0, 0, 0] = 77  # a grey pixel has no hue to shift
    ours = augment.adjust_hue(augment.to_float(images), turns)
    for i, turn in enumerate(turns):
        for row, column in ((0, 0), (3, 9), (16, 16), (31, 5), (20, 30)):
            hue, saturation, value = colorsys.rgb_to_hsv(*images[i, row, column] / 255)
            expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
            np.testing.assert_allclose(ours[i, row, column], expected, atol=1e-5)


def test_a_whole_turn_of_hue_changes_nothing(images):
    images = augment.to_float(images)
    np.testing.assert_allclose(augment.adjust_hue(images, np.ones(BATCH, np.float32)), images, atol=1e-5)


@pytest.mark.parametrize("name", augment.AUGMENT)
def test_augmentation_keeps_shape_type_and_range(name, images):
    images = augment.to_float(images)
    result = jax.jit(augment.AUGMENT[name])(jax.random.key(0), images)
    assert result.shape == images.shape and result.dtype == jnp.float32
    assert float(result.min()) >= 0 and float(result.max()) <= 1


@pytest.mark.parametrize("name", ["basic", "full"])
def test_each_image_has_its_own_draws_which_depend_on_the_key(name):
    images = jnp.broadcast_to(
        augment.to_float(np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3))), (8, 32, 32, 3)
    )
    function = jax.jit(augment.AUGMENT[name])
    first, again, other = (
        function(jax.random.key(0), images),
        function(jax.random.key(0), images),
        function(jax.random.key(1), images),
    )
    assert len({np.asarray(image).tobytes() for image in first}) >= 7  # of 162 cuts, two may be alike
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_draws_fill_their_ranges():
    """An image of row and column numbers tells the offsets that were drawn; nothing beyond 0..8 and both mirrors."""
    rows, columns = np.mgrid[10:42, 50:82]
    image = np.stack([rows, columns, np.ones_like(rows)], -1).astype(np.float32) / 255
    images = jnp.broadcast_to(jnp.array(image), (512, 32, 32, 3))
    centre = np.rint(np.asarray(augment.basic(jax.random.key(3), images))[:, 16, 16, :2] * 255)
    assert set(centre[:, 0] - 26) == set(range(-4, 5))
    assert set(centre[:, 1] - 66) == set(
        range(-5, 5)
    )  # mirrored, column 16 is column 15: one more position to the left
