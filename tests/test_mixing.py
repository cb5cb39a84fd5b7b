"""Crops of larger images, cutout and mixup: values worked out by hand, and how they are drawn."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxattn.config import Config
from jaxattn.data import augment, cifar10, mixing, resized_crop
from jaxattn.errors import InputError
from jaxattn.runs import compiled
from jaxattn.training.program import build

KEY = jax.random.key(0)


def smooth(count, height, width):
    coarse = np.random.default_rng(0).integers(0, 256, (count, 6, 6, 3)).astype(np.uint8)
    size = (width, height)
    return np.stack(
        [np.asarray(Image.fromarray(c).resize(size, Image.Resampling.BICUBIC)) for c in coarse]
    ) / np.float32(255)


def test_the_whole_image_is_itself_and_half_of_it_is_pillows_enlargement():
    images = smooth(2, 24, 32)
    whole = np.tile([0.0, 0, 24, 32], (2, 1)).astype(np.float32)
    np.testing.assert_allclose(resized_crop.resized_crop(images, whole), images, atol=1e-6)
    box = np.tile([6.0, 4, 12, 16], (2, 1)).astype(np.float32)
    cropped = np.asarray(resized_crop.resized_crop(images, box))
    for image, ours in zip(images, cropped, strict=True):
        layers = [
            Image.fromarray(image[..., i]).resize((32, 24), Image.Resampling.BILINEAR, (4, 6, 20, 18)) for i in range(3)
        ]
        theirs = np.stack([np.asarray(layer) for layer in layers], -1)
        np.testing.assert_allclose(ours[2:-2, 2:-2], theirs[2:-2, 2:-2], atol=1e-4)  # Pillow clips at the part's edge


def test_parts_have_the_areas_and_ratios_that_are_said_and_lie_in_the_image():
    top, left, tall, wide = np.asarray(resized_crop.draw_boxes(KEY, 4000, 64, 96)).T
    assert min(top.min(), left.min()) >= 0 and (top + tall).max() <= 64.01 and (left + wide).max() <= 96.01
    area, uncut = tall * wide / 64 / 96, (tall < 63.9) & (wide < 95.9)
    assert area.min() >= 0.0799 and area.max() <= 1.001
    ratio = (wide / 96 / (tall / 64))[uncut]
    assert 0.7499 <= ratio.min() < 0.76 and 1.32 < ratio.max() <= 1.3334
    # Of parts too small to be cut, the areas are uniform in 0.08..0.5 and the logarithms of ratios symmetric.
    small = area < 0.5
    np.testing.assert_allclose(area[small].mean(), 0.29, atol=0.01)
    np.testing.assert_allclose(np.log(ratio[small[uncut]]).mean(), 0, atol=0.02)


def test_images_above_64_pixels_get_the_resized_crop_and_smaller_ones_the_shifted_one():
    for height, width, expected in ((64, 64, False), (65, 20, True), (20, 128, True)):
        images = smooth(3, height, width)
        same = np.allclose(augment.basic(KEY, images), resized_crop.random_resized_crop(KEY, images), atol=1e-6)
        assert same == expected


def test_images_are_flipped_where_that_is_asked_for():
    images = smooth(2, 70, 70)
    plain, flipped = (augment.basic(KEY, images, np.full(2, flip)) for flip in (False, True))
    np.testing.assert_array_equal(np.asarray(flipped), np.asarray(plain)[:, :, ::-1])


@pytest.mark.parametrize(
    ("centre", "side", "rows", "columns"),
    [
        ((4, 5), 3, (3, 6), (4, 7)),
        ((4, 5), 4, (2, 6), (3, 7)),
        ((0, 7), 3, (0, 2), (6, 8)),
        ((0, 0), 20, (0, 8), (0, 8)),
    ],
)
def test_a_square_is_hidden_and_cut_off_at_the_edge(centre, side, rows, columns):
    hidden = (
        np.asarray(mixing.hide_square(np.ones((1, 8, 8, 3), np.float32), np.array([centre]), side))[0, :, :, 0] == 0
    )
    expected = np.zeros((8, 8), bool)
    expected[slice(*rows), slice(*columns)] = True
    np.testing.assert_array_equal(hidden, expected)


def test_cutout_hides_another_square_of_each_image_and_any_pixel_may_be_its_centre():
    hidden = np.asarray(mixing.cutout(KEY, np.ones((2000, 6, 9, 3), np.float32), 1)) == 0
    assert (hidden.sum((1, 2, 3)) == 3).all()  # one pixel
    counts = hidden[..., 0].sum(0)
    assert counts.min() > 0.5 * 2000 / 54 and counts.max() < 1.6 * 2000 / 54


@pytest.mark.parametrize("side", [24, 40])
def test_a_square_as_large_as_the_image_is_refused(side):
    config, spec = Config(cutout=side), dataclasses.replace(cifar10.SPEC, image_shape=(24, 40, 3))
    with pytest.raises(InputError, match="cutout must be less than the 24 pixels of an image's shorter side") as caught:
        compiled.check(config, build(config, spec, 1), spec.image_shape)
    assert caught.value.setting == "cutout"
    compiled.check(Config(cutout=23), build(config, spec, 1), spec.image_shape)


def test_mixup_blends_each_image_with_the_one_before_and_keeps_the_larger_share():
    images = np.arange(4, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 2, 3), np.float32)
    mixed, weight = mixing.mixup(KEY, images, 0.4)
    expected = weight * np.arange(4) + (1 - weight) * np.array([3, 0, 1, 2])
    np.testing.assert_allclose(np.asarray(mixed)[:, 0, 0, 0], expected, rtol=1e-6)
    weights = np.array([mixing.mixup(key, images, 1.0)[1] for key in jax.random.split(KEY, 300)])
    assert weights.min() >= 0.5 and abs(weights.mean() - 0.75) < 0.02  # the larger of two parts of 1, cut anywhere


def test_the_loss_of_a_mixed_batch_is_mixed(monkeypatch):
    """The gradient of a linear model is that of the weighted mean of both losses, worked out by hand."""
    import tiny
    from flax import linen as nn

    from jaxattn.data.augment import to_input
    from jaxattn.training import optim, step
    from jaxattn.training.batch import make_batch
    from jaxattn.training.state import init_state

    class Linear(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            return nn.Dense(3, kernel_init=nn.initializers.zeros)(x.reshape(len(x), -1))

    monkeypatch.setattr(step, "mixup", lambda key, batch, alpha: (batch, jnp.float32(0.75)))
    optimizer = optim.sgd(lambda count: 1.0, 0.0, momentum=0.0, nesterov=False)
    state = init_state(Linear(), optimizer, optim.plateau("constant", 0.5, 3), KEY, (1, 1, 3))
    take = step.make_train_step(Linear(), optimizer, make_batch(augment.none, tiny.SPEC), True, alpha=1.0)
    images, labels = (255 * np.eye(3)).astype(np.uint8).reshape(3, 1, 1, 3), jnp.arange(3, dtype=jnp.int32)
    new, _ = take(state, KEY, images, labels, np.arange(3))
    target = 0.75 * np.eye(3) + 0.25 * np.eye(3)[[2, 0, 1]]  # each image is mixed with the one before it
    inputs = np.asarray(to_input(jnp.asarray(images), tiny.SPEC)).reshape(3, 3)
    np.testing.assert_allclose(new.params["Dense_0"]["kernel"], -inputs.T @ (1 / 3 - target) / 3, atol=1e-6)
