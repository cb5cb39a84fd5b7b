"""Measures of a classifier, by hand."""

import numpy as np
import pytest

from jaxattn.metrics import (
    UNEQUAL,
    are_unequal,
    balanced_accuracy,
    confusion_matrix,
    frequencies,
    per_class_accuracy,
    reliability,
    softmax,
    superclass_accuracy,
    wilson_interval,
)


def test_softmax_of_large_logits_is_finite():
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000 + np.log(3)]])), [[0.25, 0.75]])


def test_reliability_by_hand():
    confidence = np.array([0.95, 0.85, 0.55, 0.65])  # the second and the fourth prediction are wrong
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    found = reliability(probabilities, np.array([0, 1, 0, 1]), bins=2)
    np.testing.assert_array_equal(found.count, [0, 4])
    np.testing.assert_allclose(found.confidence, [0.25, 0.75])
    np.testing.assert_allclose(found.accuracy, [0, 0.5])
    assert found.error == pytest.approx(0.25)
    found = reliability(probabilities, np.array([0, 1, 0, 1]), bins=10)
    assert found.error == pytest.approx((0.05 + 0.85 + 0.45 + 0.65) / 4)


def test_a_calibrated_classifier_has_no_error():
    probabilities = np.tile([0.75, 0.25], (8, 1))
    assert reliability(probabilities, np.array([0, 0, 0, 1] * 2)).error == pytest.approx(0)


def test_confusion_matrix_by_hand():
    counts = confusion_matrix(predicted=np.array([0, 1, 1, 2]), labels=np.array([0, 0, 1, 1]), classes=3)
    np.testing.assert_array_equal(counts, [[1, 1, 0], [0, 1, 1], [0, 0, 0]])


def test_accuracy_by_class_with_wilsons_interval():
    accuracy, interval = per_class_accuracy(np.array([[8, 2, 0], [0, 0, 0], [0, 0, 5]]))
    np.testing.assert_allclose(accuracy, [0.8, 0, 1])
    np.testing.assert_allclose(interval[0], [0.4902, 0.9433], atol=1e-4)  # as tables give for 8 of 10
    np.testing.assert_array_equal(interval[1], [0, 1])
    np.testing.assert_allclose(interval[2], [0.5655, 1], atol=1e-4)


def test_wilsons_interval_of_nothing_is_everything():
    assert wilson_interval(0, 0) == (0, 1)


def test_balanced_accuracy_is_the_mean_over_classes_that_occur():
    labels, predicted = np.array([0, 0, 0, 0, 2, 2]), np.array([0, 0, 0, 1, 2, 1])
    assert balanced_accuracy(predicted, labels) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert balanced_accuracy(labels, labels) == 1
    assert balanced_accuracy(np.array([1, 3]), np.array([3, 3])) == 0.5  # of one class, the accuracy


def test_accuracy_of_superclasses_counts_what_stays_within_them():
    superclasses = ("cat", "dog", "cat")
    labels, predicted = np.array([0, 0, 1, 1, 2]), np.array([2, 1, 1, 0, 0])
    assert superclass_accuracy(predicted, labels, superclasses) == pytest.approx(3 / 5)


def test_classes_are_unequal_where_one_that_occurs_has_more_than_a_tenth_more_images_than_another():
    np.testing.assert_array_equal(frequencies(np.array([1, 1, 3]), 5), [0, 2, 0, 1, 0])
    assert are_unequal(np.array([0, 2, 0, 1, 0])) and not are_unequal(np.array([0, 2, 2]))
    assert are_unequal(np.array([111, 100])) and not are_unequal(np.array([110, 100]))
    assert not are_unequal(np.array([43, 44, 44])) and not are_unequal(np.array([0, 0]))


def test_accuracy_and_balanced_accuracy_differ_by_at_most_2_4_points_where_classes_are_not_unequal():
    worst = 0.0
    for large in range(1, 100):  # classes of 110 images, of 100 in all; the others have 100
        labels = np.repeat(np.arange(100), np.where(np.arange(100) < large, 110, 100))
        predicted = np.where(labels < large, labels, 0)  # the large ones are classified correctly, the others not
        worst = max(worst, np.mean(predicted == labels) - balanced_accuracy(predicted, labels))
    assert worst == pytest.approx((UNEQUAL**0.5 - 1) / (UNEQUAL**0.5 + 1), abs=1e-4) and worst < 0.024
