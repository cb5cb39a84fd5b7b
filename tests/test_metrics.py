"""Measures of a classifier, by hand."""

import numpy as np
import pytest

from jaxattn.metrics import confusion_matrix, per_class_accuracy, reliability, softmax, wilson_interval


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
