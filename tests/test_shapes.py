"""The drawn data set: repeatable, balanced, and its masks lie on the shapes."""

import numpy as np
import pytest

from jaxattn.data import DATASETS, shapes


@pytest.fixture(scope="module")
def drawn():
    return shapes.make(seed=1, train=400, test=200)


def test_same_seed_gives_the_same_bytes_and_another_seed_others():
    digests = [shapes.make(seed, train=30, test=20).digest() for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


def test_classes_are_ten_and_equally_frequent(drawn):
    assert len(set(drawn.classes)) == 10
    for split, each in ((drawn.train, 40), (drawn.test, 20)):
        np.testing.assert_array_equal(np.bincount(split.labels, minlength=10), each)


def test_a_count_that_ten_does_not_divide_is_balanced_to_within_one():
    frequency = np.bincount(shapes.make(train=37, test=3).train.labels, minlength=10)
    assert set(frequency) == {3, 4}


def test_no_image_is_in_both_splits_or_twice(drawn):
    images = [image.tobytes() for split in (drawn.train, drawn.test) for image in split.images]
    assert len(set(images)) == len(images) == 600


def test_training_images_do_not_depend_on_the_number_of_test_images(drawn):
    other = shapes.make(seed=1, train=400, test=1)
    np.testing.assert_array_equal(other.train.images, drawn.train.images)


def test_every_mask_covers_a_shape_not_a_speck_nor_the_image(drawn):
    area = drawn.train.masks.mean((1, 2))
    # The thinnest shape of the smallest radius, an arrow of 8 pixels, has some 70 of 1024 pixels; the largest, a disc
    # of 13 pixels, 531.
    assert area.min() > 0.05 and area.max() < 0.55


def test_colour_jumps_at_the_edge_of_the_mask_and_not_elsewhere(drawn):
    # Independent of how it was drawn: the mean step between neighbours across the mask's edge against the mean step
    # between neighbours both inside. Moving the masks by one pixel leaves 3 % of them with twice the step.
    images, masks = drawn.train.images.astype(float), drawn.train.masks
    step = np.abs(np.diff(images, axis=2)).sum(-1)
    edge, inside = masks[:, :, 1:] != masks[:, :, :-1], masks[:, :, 1:] & masks[:, :, :-1]
    across = (step * edge).sum((1, 2)) / edge.sum((1, 2))
    within = (step * inside).sum((1, 2)) / inside.sum((1, 2))
    assert np.mean(across > 2 * within) > 0.95


def test_masks_differ_between_classes_as_the_shapes_do(drawn):
    # Bulk of a shape: pixels of its mask for each pixel of the box around it. A disc fills pi/4 of its box; a ring
    # of half the radius inside lacks a quarter of the disc; a cross and a crescent leave nearly half of it free.
    def bulk(name):
        fills = []
        for mask in drawn.train.masks[drawn.train.labels == drawn.classes.index(name)]:
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            fills.append(mask.sum() / (np.ptp(rows) + 1) / (np.ptp(columns) + 1))
        return np.median(fills)

    assert bulk("disc") == pytest.approx(np.pi / 4, abs=0.03)  # the box is a whole number of pixels
    assert bulk("ring") == pytest.approx(np.pi / 4 * 0.75, abs=0.03)
    assert bulk("cross") < 0.6 and bulk("crescent") < 0.6


def test_load_needs_no_folder(tmp_path):
    missing = tmp_path / "nowhere"
    splits = DATASETS["shapes"].load(missing)
    assert (len(splits.train), len(splits.test), splits.train.images.shape[1:]) == (10_000, 2_000, (32, 32, 3))
    assert not missing.exists()
