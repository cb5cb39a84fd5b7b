"""Each corruption does what it says, with images of any size."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxattn.errors import InputError
from jaxattn.robustness import corruptions
from jaxattn.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt

pytestmark = pytest.mark.usefixtures("small_network")
RNG = np.random.default_rng(0)
PHASES = RNG.uniform(0, 2 * np.pi, (2, 12, 1, 1, 3))
ROWS, COLUMNS = np.arange(32)[:, None, None] / 10, np.arange(32)[:, None] / 10
IMAGES = (128 + 50 * np.sin(PHASES[0] + ROWS) + 50 * np.sin(PHASES[1] + COLUMNS)).astype(np.uint8)
IMAGES += RNG.integers(0, 8, IMAGES.shape, np.uint8)  # like photographs: smooth, with a little grain


def grey(value, shape=(1, 16, 16, 3)):
    return np.full(shape, value, np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(3, 32, 32, 3), (2, 28, 28, 1), (2, 17, 40, 3), (1, 1, 1, 3), (0, 8, 8, 3)])
def test_images_of_any_size_keep_shape_and_type_and_are_not_changed_in_place(name, shape):
    images = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    before = images.copy()
    for severity in SEVERITIES:
        corrupted = corrupt(name, severity, images)
        assert corrupted.shape == shape and corrupted.dtype == np.uint8
        np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_differ_more_with_each_severity(name):
    distances = [np.abs(corrupt(name, one, IMAGES).astype(float) - IMAGES).mean() for one in SEVERITIES]
    assert distances[0] > 0.1 and (np.diff(distances) > 0).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupted_images_are_the_same_each_time_and_in_chunks_of_any_size(name, monkeypatch):
    first = corrupt(name, 3, IMAGES)
    np.testing.assert_array_equal(corrupt(name, 3, IMAGES), first)
    if name not in ("noise", "shift", "rotation"):  # these draw for all images of a chunk at once
        monkeypatch.setattr(corruptions, "_CHUNK", 2 * IMAGES[0].size)
        np.testing.assert_array_equal(corrupt(name, 3, IMAGES), first)


def test_noise_has_the_stated_deviation_and_no_mean():
    for severity, sd in zip(SEVERITIES, (0.03, 0.05, 0.07, 0.09, 0.12), strict=True):
        added = corrupt("noise", severity, grey(128, (20, 32, 32, 3))).astype(float) - 128
        assert abs(added.mean()) < 4 * 255 * sd / np.sqrt(added.size)  # four standard errors
        assert added.std() == pytest.approx(255 * sd, rel=0.02)


def test_blur_keeps_flat_images_and_spreads_a_pixel_as_a_gaussian():
    np.testing.assert_array_equal(corrupt("blur", 5, grey(77)), grey(77))
    image = grey(0, (1, 33, 33, 1))
    image[0, 16, 16] = 255
    sigma = 1.0 * 33 / 32
    weights = np.exp(-(np.arange(-16, 17) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    np.testing.assert_allclose(corrupt("blur", 4, image)[0, :, :, 0], 255 * np.outer(weights, weights), atol=0.6)


def test_brightness_adds_to_a_mid_grey_and_saturates():
    assert [int(corrupt("brightness", one, grey(128))[0, 0, 0, 0]) for one in SEVERITIES] == [141, 154, 166, 179, 204]
    assert (corrupt("brightness", 1, grey(250)) == 255).all()


def test_contrast_shrinks_the_deviation_from_the_mean_of_each_channel():
    image = np.tile(np.array([[[[40, 0, 100]], [[60, 200, 100]]]], np.uint8), (1, 1, 2, 1))
    expected = np.array([[44, 40, 100], [56, 160, 100]])  # 50 -+ .6 * 10, 100 -+ .6 * 100, flat
    np.testing.assert_array_equal(corrupt("contrast", 2, image)[0, :, 0], expected)


def test_jpeg_is_what_pillow_stores_and_reads():
    file = io.BytesIO()
    Image.fromarray(IMAGES[4]).save(file, "JPEG", quality=40)
    np.testing.assert_array_equal(corrupt("jpeg", 3, IMAGES)[4], np.asarray(Image.open(file)))


def test_pixelation_leaves_few_different_rows_and_their_mean():
    image = np.arange(0, 240, 24, dtype=np.uint8)[None, :, None, None] * np.ones((1, 1, 10, 3), np.uint8)
    rows = corrupt("pixelation", 3, image)[0, :, 0, 0]  # 10 pixels become 5: means of pairs
    np.testing.assert_array_equal(rows, np.repeat([12, 60, 108, 156, 204], 2))


def test_shift_moves_every_image_by_the_stated_pixels_along_one_axis():
    images = np.random.default_rng(2).integers(0, 256, (16, 32, 32, 3), np.uint8)
    directions = set()
    for image, moved in zip(images, corrupt("shift", 2, images), strict=True):
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="edge")
        found = [d for d in ((0, 4), (8, 4), (4, 0), (4, 8))
                 if np.array_equal(padded[d[0] : d[0] + 32, d[1] : d[1] + 32], moved)]  # fmt: skip
        directions.update(found)
        assert len(found) == 1
    assert len(directions) == 4
    columns = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    twice = np.stack([columns, columns.T, columns], axis=2)[None]
    change = corrupt("shift", 2, twice)[0, 32, 32].astype(int) - 32
    assert sorted(np.abs(change[:2])) == [0, 8]  # of twice as many pixels, twice as many
    small = corrupt("shift", 5, twice[:, :8, :8])[0, 4, 4].astype(int) - 4
    assert sorted(np.abs(small[:2])) in ([0, 2], [0, 3], [0, 1])  # of a quarter, a quarter of 10, within the image


def test_rotation_turns_a_point_by_the_stated_angle_and_keeps_the_centre():
    image = grey(0, (8, 65, 65, 1))
    image[:, 31:34, 55:58] = 255  # 24 pixels to the right of the centre
    turned = corrupt("rotation", 5, image)[..., 0].astype(float)
    rows, columns = np.mgrid[:65, :65] - 32
    weights = turned / turned.sum(axis=(1, 2), keepdims=True)
    angles = np.degrees(np.arctan2((weights * rows).sum(axis=(1, 2)), (weights * columns).sum(axis=(1, 2))))
    np.testing.assert_allclose(np.abs(angles), 30, atol=0.5)
    assert set(np.sign(angles)) == {-1, 1}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("fog", 1, IMAGES), "unknown corruption 'fog'; known are noise, blur, "),
        (("blur", 6, IMAGES), "severity must be 1 to 5, got 6"),
        (("blur", 1, IMAGES[..., :2]), r"images must be uint8 \[N, H, W, 1 or 3\], got uint8 \[12, 32, 32, 2\]"),
    ],
)
def test_what_cannot_be_corrupted_is_refused(arguments, reason):
    with pytest.raises(InputError, match=reason):
        corrupt(*arguments)
