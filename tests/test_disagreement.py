"""Images on which two variants differ whatever the seed, beside what chance gives."""

import numpy as np
import pytest

from jaxattn.comparison import figures
from jaxattn.comparison.disagreement import disagreement, disagreements, sentence
from jaxattn.data.splits import Split


def of_images(*seeds_right, seeds=8):
    """Whether each image is classified correctly, bool [S, N], from the number of seeds in which it is."""
    return np.stack([np.arange(seeds) < right for right in seeds_right], axis=1)


def test_counts_images_that_one_variant_knows_in_nearly_all_seeds_and_the_other_in_few():
    found = disagreement(of_images(8, 7, 8, 6, 0, 4), of_images(1, 0, 2, 0, 8, 4))
    assert list(found.better) == [0, 1]  # 100 and 88 % against 12 and 0 %; not 25 %, not 75 %
    assert list(found.worse) == [4]
    assert found.fractions[:, 1].tolist() == [0.875, 0]


def test_the_largest_difference_comes_first():
    found = disagreement(of_images(7, 8), of_images(1, 0))
    assert list(found.better) == [1, 0]
    assert list(disagreement(of_images(1, 0), of_images(7, 8)).worse) == [1, 0]


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_variants_that_differ_by_chance_alone_lie_within_what_chance_gives(seeds):
    rng, within = np.random.default_rng(0), []
    for _ in range(20):
        runs = rng.random((2 * seeds, 1000)) < rng.random(1000)  # each image is easy or hard
        found = disagreement(runs[:seeds], runs[seeds:])
        mean, low, high = found.chance
        assert 0 <= low < mean < high
        within += [low <= len(one) <= high for one in (found.better, found.worse)]
    assert np.mean(within) > 0.85  # 95 % are expected


def test_a_real_difference_lies_beyond_what_chance_gives():
    rng = np.random.default_rng(0)
    variant, baseline = rng.random((2, 8, 2000)) < 0.9
    baseline[:, :100] = False
    found = disagreement(variant, baseline)
    assert set(found.better) <= set(range(100)) and len(found.better) > 50 > found.chance[2]
    assert len(found.worse) == 0


def test_two_seeds_are_too_few():
    assert disagreement(of_images(2, seeds=2), of_images(0, seeds=3)) is None


def test_every_variant_is_compared_with_the_baseline():
    labels = np.array([1, 2])
    right, wrong = {"intact": labels}, {"intact": labels + 1}
    answers = {"none": dict.fromkeys(range(3), wrong), "se": dict.fromkeys(range(3), right), "eca": {0: right}, "x": {}}
    found = disagreements(answers, "none", labels)
    assert list(found) == ["se"] and list(found["se"].better) == [0, 1]
    assert disagreements({"none": {}, "se": answers["se"]}, "none", labels) == {}
    text = sentence("se", "none", found["se"])
    assert text.startswith("2 images") and "0 the other way round" in text
    assert "with se and in at most 20% with none" in text


def test_the_figure_names_class_and_shares():
    test = Split(np.zeros((3, 8, 8, 3), np.uint8), np.array([1, 0, 1], np.int32))
    found = disagreement(of_images(8, 7, 4), of_images(0, 1, 4))
    figure = figures.different_answers("se", "none", found, test, ("cat", "dog"), "")
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["dog\nse: 100%\nnone: 0%", "cat\nse: 88%\nnone: 12%"]
    assert "no image" in [text.get_text() for axes in figure.axes for text in axes.texts]
