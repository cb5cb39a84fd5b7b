"""Networks on other images: the corruptions, the readers of published files, the command, and the page's section."""

import csv
import hashlib
import io
import json
import re
import shutil

import numpy as np
import pytest
import tiny
from PIL import Image

from jaxattn.comparison import other_images, results, robustness_file
from jaxattn.comparison.compare import compare, show
from jaxattn.comparison.plan import read_plan
from jaxattn.comparison.robustness import Robustness, Seen
from jaxattn.comparison.statistics import welch
from jaxattn.data import DATASETS, cifar10
from jaxattn.data.dataset import Dataset
from jaxattn.data.splits import stratified
from jaxattn.errors import InputError
from jaxattn.robustness import __main__ as command
from jaxattn.robustness import corruptions, official
from jaxattn.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from jaxattn.robustness.view import cross_entropy
from jaxattn.robustness.views import find
from jaxattn.runs.store import read_sealed, write_sealed

pytestmark = pytest.mark.usefixtures("small_network")
RNG = np.random.default_rng(0)
PHASES = RNG.uniform(0, 2 * np.pi, (2, 12, 1, 1, 3))
ROWS, COLUMNS = np.arange(32)[:, None, None] / 10, np.arange(32)[:, None] / 10
IMAGES = (128 + 50 * np.sin(PHASES[0] + ROWS) + 50 * np.sin(PHASES[1] + COLUMNS)).astype(np.uint8)
IMAGES += RNG.integers(0, 8, IMAGES.shape, np.uint8)  # like photographs: smooth, with a little grain
FLAGS = tiny.CONFIG | {"epochs": 1, "dataset": "cifar10"}
NONE = dict.fromkeys(command.FILES)


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL))


def grey(value, shape=(1, 16, 16, 3)):
    return np.full(shape, value, np.uint8)


# corruptions


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


def test_cross_entropy_is_that_of_peoples_shares():
    logits, counts = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])), np.array([[2, 2, 0], [0, 5, 0]])
    expected = -np.mean([0.5 * np.log(0.5) + 0.5 * np.log(0.25), np.log(0.8)])
    assert cross_entropy(logits, counts) == pytest.approx(expected)


def test_a_sample_has_all_classes_in_proportion_and_holds_the_smaller_samples():
    labels = np.arange(200, dtype=np.int32) % 10
    small, large = stratified(labels, 30, 0), stratified(labels, 100, 0)
    assert set(small) < set(large)
    assert set(np.bincount(labels[small])) == {3} and set(np.bincount(labels[large])) == {10}


# published files


@pytest.fixture
def test_split(monkeypatch):
    """The test images of a small stand-in for CIFAR-10, whose order counts as official."""
    test = tiny.splits().test
    monkeypatch.setattr(official, "OFFICIAL", hashlib.sha256(test.labels.astype(np.uint8).tobytes()).hexdigest())
    return test


def write_published(folder, test):
    """Small files in the formats of all that is published; the command's flags for them."""
    for name in ("c", "new"):
        (folder / name).mkdir(parents=True)
    for name, change in (("fog", 20), ("snow", 40)):
        parts = [np.clip(test.images.astype(int) + change * one, 0, 255).astype(np.uint8) for one in SEVERITIES]
        np.save(folder / "c" / f"{name}.npy", np.concatenate(parts))
    np.save(folder / "c" / "labels.npy", np.tile(test.labels, 5).astype(np.uint8))
    np.save(folder / "new" / "cifar10.1_v6_data.npy", test.images[:20])
    np.save(folder / "new" / "cifar10.1_v6_labels.npy", test.labels[:20])
    lines = "6,7,0.1,1\n3,9,0.2,0\n3,8,0.3,2\n"
    (folder / "duplicates.csv").write_text(f"TestID,TrainID,Distance,Judgment\n{lines}")
    (folder / "errors.csv").write_text(f"test_index,label,guessed\n5,{test.labels[5]},1\n39,{test.labels[39]},0\n")
    counts = np.full((len(test), 10), 0.0)
    counts[np.arange(len(test)), test.labels] = 40
    counts[:, 0] += 10
    counts[1] = np.eye(10)[7]  # of one image, another label than the given one
    np.save(folder / "people.npy", counts)
    return {
        "cifar10_c": str(folder / "c"),
        "cifar10_1": str(folder / "new"),
        "duplicates": str(folder / "duplicates.csv"),
        "label_errors": str(folder / "errors.csv"),
        "people": str(folder / "people.npy"),
    }


def test_views_are_the_images_and_labels_of_their_files(test_split, tmp_path):
    views = {(view.name, view.severity): view for view in
             find("cifar10", test_split, ["blur"], None, write_published(tmp_path, test_split))}  # fmt: skip
    images, labels = views["C: snow", 2].load()
    np.testing.assert_array_equal(images, np.clip(test_split.images.astype(int) + 80, 0, 255))
    np.testing.assert_array_equal(labels, test_split.labels)
    np.testing.assert_array_equal(views["blur", 4].load()[0], corrupt("blur", 4, test_split.images))
    np.testing.assert_array_equal(views["CIFAR-10.1 v6", 0].load()[1], test_split.labels[:20])
    for name, out in (("without near-duplicates", [3, 6]), ("without doubted labels", [5, 39])):
        images, labels = views[name, 0].load()
        np.testing.assert_array_equal(images, np.delete(test_split.images, out, axis=0))
        np.testing.assert_array_equal(labels, np.delete(test_split.labels, out))
    labels = views["people's labels", 0].load()[1]
    assert labels[1] == 7 and np.array_equal(np.delete(labels, 1), np.delete(test_split.labels, 1))
    assert len({view.digest for view in views.values()}) == len(views)


def test_a_sample_takes_the_same_test_images_in_each_view(test_split, tmp_path):
    views = {(view.name, view.severity): view for view in
             find("cifar10", test_split, ["shift"], 20, write_published(tmp_path, test_split))}  # fmt: skip
    images, labels = views["test images", 0].load()
    assert len(images) == 20 and set(np.bincount(labels)) == {2}
    np.testing.assert_array_equal(views["C: fog", 1].load()[0], np.clip(images.astype(int) + 20, 0, 255))
    np.testing.assert_array_equal(views["shift", 1].load()[0], corrupt("shift", 1, images))
    assert views["people's labels", 0].people.shape == (20, 10)


def saved(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def pickled(path):
    np.save(path, np.array([{}], object), allow_pickle=True)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


BAD = [
    ("cifar10_c", lambda f, t: shutil.rmtree(f / "c"), "there is no such folder"),
    ("cifar10_c", lambda f, t: (f / "c/labels.npy").unlink(), "cannot read .*labels.npy .*: No such file"),
    ("cifar10_c", lambda f, t: saved(f / "c/labels.npy", np.zeros(200, int)), "test images five times"),
    ("cifar10_c", lambda f, t: saved(f / "c/labels.npy", np.zeros(40, int)), r"integers \[200\], it is int64 \[40\]"),
    ("cifar10_c", lambda f, t: saved(f / "c/fog.npy", t.images), r"uint8 \[200, 32, 32, 3\], it is uint8 \[40,"),
    ("cifar10_c", lambda f, t: saved(f / "c/fog.npy", np.zeros((200, 32, 32, 3), np.float32)), "it is float32"),
    ("cifar10_c", lambda f, t: pickled(f / "c/fog.npy"), "cannot read .*fog.npy as a NumPy array: .*Python objects"),
    ("cifar10_c", lambda f, t: cut(f / "c/fog.npy"), "cannot read .*fog.npy as a NumPy array: "),
    ("cifar10_c", lambda f, t: (f / "c/fog.npy").write_bytes(b"PK"), "cannot read .*fog.npy"),
    ("cifar10_1", lambda f, t: (f / "new/cifar10.1_v6_labels.npy").unlink(), "cannot read .*v6_labels.npy"),
    ("cifar10_1", lambda f, t: shutil.rmtree(f / "new"), "must hold cifar10.1_v6_data.npy and"),
    ("cifar10_1", lambda f, t: saved(f / "new/cifar10.1_v6_data.npy", t.images), r"must be uint8 \[20, 32, 32, 3\]"),
    ("cifar10_1", lambda f, t: saved(f / "new/cifar10.1_v6_labels.npy", np.arange(20)), r"labels must lie in 0\.\.9"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").unlink(), "cannot be read: No such file"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").write_text("TestID,Judgment\n40,1\n"), r"must lie in 0\.\.39"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").write_text("TestID,Judgment\n4,3\n"), r"must lie in 0\.\.2"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").write_text("TestID,Judgment\n4,1\nx,1\n"), "line 3: it must be"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").write_text("TestID,Judgment\n4\n"), "line 2: it must be"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").write_text("TestID,Judgment\n"), "it has no line"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").write_text("id\n1\n"), "TestID, Judgment.* it lacks TestID"),
    ("duplicates", lambda f, t: (f / "duplicates.csv").write_bytes(b"\xff\xfe\xff"), "cannot be read: 'utf-8'"),
    ("label_errors", lambda f, t: (f / "errors.csv").write_text("test_index,label\n5,9\n"), "5 of image 5, found 9"),
    ("label_errors", lambda f, t: (f / "errors.csv").write_text("test_index,label\n-1,9\n"), r"found -1\.\.-1"),
    ("label_errors", lambda f, t: (f / "errors.csv").write_text("test_index,label\n1_0,9\n"), "line 2: it must be"),
    ("people", lambda f, t: saved(f / "people.npy", np.ones((40, 9))), r"numbers \[40, 10\], it is float64"),
    ("people", lambda f, t: saved(f / "people.npy", np.zeros((40, 10))), "a label at least for each image"),
    ("people", lambda f, t: saved(f / "people.npy", -np.eye(10)[t.labels]), "none below 0"),
    ("people", lambda f, t: saved(f / "people.npy", np.full((40, 10), np.nan)), "must hold counts"),
    ("people", lambda f, t: saved(f / "people.npy", np.eye(10)[t.labels[::-1]]), "for 95% of .*, it is for 0.00%"),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "damage", "reason"), BAD)
def test_files_that_cannot_be_used_are_refused_in_one_line(test_split, tmp_path, setting, damage, reason):
    files = write_published(tmp_path, test_split)
    damage(tmp_path, test_split)
    with pytest.raises(InputError, match=reason) as caught:
        find("cifar10", test_split, [], None, NONE | {setting: files[setting]})
    assert "\n" not in str(caught.value) and caught.value.setting == setting


def test_files_for_cifar10_are_refused_for_other_images(test_split, tmp_path, monkeypatch):
    files = write_published(tmp_path, test_split)
    for setting, path in files.items():
        with pytest.raises(InputError, match="for networks trained on cifar10, the runs' data set is svhn") as caught:
            find("svhn", test_split, [], None, NONE | {setting: path})
        assert caught.value.setting == setting
    monkeypatch.setattr(official, "OFFICIAL", "0" * 64)
    with pytest.raises(InputError, match="not CIFAR-10's in their official order"):
        find("cifar10", test_split, [], None, NONE | {"duplicates": files["duplicates"]})
    with pytest.raises(InputError, match="images must be 1 to 40, the number of test images, got 41"):
        find("svhn", test_split, [], 41, NONE)


# what was measured


def made_up(seeds=4):
    """Accuracies of two variants on two views, one of them a corruption of two severities, and nats."""
    rng = np.random.default_rng(5)
    views = (Seen("test images", 0, 40), Seen("noise", 1, 40), Seen("noise", 2, 40), Seen("people's labels", 0, 40))
    measured = {
        name: {
            seed: [{"accuracy": float(rng.uniform(0.4, 0.5) + gain)} for _ in range(3)]
            + [{"accuracy": 0.5 + 0.01 * seed, "cross-entropy": 1.5 + 0.1 * seed - gain}]
            for seed in range(seeds)
        }
        for name, gain in (("none", 0), ("se", 0.1))
    }
    return Robustness(views, measured, {name: dict.fromkeys(range(seeds), "x") for name in measured})


def test_differences_have_welchs_interval_at_a_level_for_all_variants_and_views():
    found = made_up()
    rows = found.rows()
    assert [row.name for row in rows] == ["test images", "noise", "people's labels", "people's labels, cross-entropy"]
    values = {
        name: np.array([np.mean([one["accuracy"] for one in every[1:3]]) for every in by_seed.values()])
        for name, by_seed in found.measured.items()
    }
    test = welch(100 * values["se"], 100 * values["none"])
    low, high = test.interval(1 - 0.05 / 4)
    line = found.table()[2]
    assert line[-1] == f"{test.mean:+.2f} ({low:+.2f} to {high:+.2f})"
    assert line[:2] == ["noise", "40"] and line[2].startswith(f"{100 * values['none'].mean():.2f} (sd ")
    assert found.table()[4][2:] == ["1.65 (sd 0.13)", "1.55 (sd 0.13)", found.table()[4][-1]]
    assert found.table()[4][-1].startswith("-0.10 (")
    assert "all intervals together keep 95 % (Bonferroni: 1 variant x 4 views)" in found.rule and "nats" in found.rule
    assert [line[0] for line in found.table(True)[1:4]] == ["test images", "noise 1", "noise 2"]


def test_one_run_has_accuracies_and_no_difference():
    found = made_up(seeds=1)
    assert found.table()[1][-1] == f"{found.rows()[0].difference('se', 'none', 3).mean:+.2f}"
    alone = Robustness(found.views, {"none": found.measured["none"]}, {"none": found.basis["none"]})
    assert alone.table()[0] == ["view", "images", "none, 1 seed"] and "interval" not in alone.rule


# the command


@pytest.fixture(scope="module")
def compared(small_network, tmp_path_factory):
    """The folder of a comparison on a small stand-in for CIFAR-10."""
    folder = tmp_path_factory.mktemp("robust") / "c"
    spec = cifar10.SPEC
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "cifar10", Dataset(spec, lambda data_dir: tiny.splits(spec=spec)))
        labels = tiny.splits().test.labels.astype(np.uint8)
        patch.setattr(official, "OFFICIAL", hashlib.sha256(labels.tobytes()).hexdigest())
        for name in ("_draw", "_gates"):
            patch.setattr(f"jaxattn.comparison.page.{name}", lambda *arguments: {})
        compare(["none", "se"], 3, folder, **FLAGS)
        yield folder


def run(*words):
    command.main(list(map(str, words)))


def flags_of(folder):
    files = write_published(folder, tiny.splits().test)
    return [word for name, path in files.items() for word in (f"--{name.replace('_', '-')}", path)]


@pytest.fixture
def folder(compared, tmp_path):
    return shutil.copytree(compared, tmp_path / "c")


def test_a_comparison_is_tested_on_every_view_and_its_page_shows_it(folder, tmp_path, capsys):
    run(folder, "--corruptions", "noise", "jpeg", *flags_of(tmp_path / "files"))
    out = capsys.readouterr().out
    names = ["test images", "noise", "jpeg", "without near-duplicates", "without doubted labels", "people's labels",
             "people's labels, cross-entropy", "CIFAR-10.1 v6", "C: fog", "C: snow"]  # fmt: skip
    found = robustness_file.read(folder, results.of_plan(folder, read_plan(folder)))
    assert [row.name for row in found.rows()] == names and all(name in out for name in names)
    for name, by_seed in found.measured.items():
        for seed, measured in by_seed.items():
            result = json.loads((folder / f"{name}-s{seed}" / "result.json").read_text())
            assert measured[0]["accuracy"] == pytest.approx(result["test_accuracy"])
    text = text_of((folder / "compare.html").read_text())
    for cell in (cell for line in found.table() + found.table(True) for cell in line):
        assert cell in text.replace("&#39;", "'")
    assert found.rule in out and "Other images" in text and f"page: {folder / 'compare.html'}" in out
    with (folder / "robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["variant", "seed", "view", "severity", "metric", "value"]
    assert len(rows) == 6 * (1 + 10 + 3 + 1 + 1 + 10)  # people's labels have two metrics
    assert {row["severity"] for row in rows} == {"", "1", "2", "3", "4", "5"}


@pytest.mark.usefixtures("no_figures")
def test_what_was_measured_is_kept_and_made_again_where_it_is_not_of_these_weights(folder, monkeypatch, capsys):
    run(folder, "--corruptions", "blur")
    first, content = capsys.readouterr().out, (folder / "robustness.json").read_text()
    assert "[1/6] test images: 40 images, 6 networks\n[2/6] blur: 40 images, 6 networks\n" in first
    monkeypatch.setattr(other_images, "load_run", lambda *run, **options: 1 / 0)  # no network is loaded again
    run(folder, "--corruptions", "blur")
    assert first.endswith(capsys.readouterr().out) and (folder / "robustness.json").read_text() == content
    monkeypatch.undo()
    path = folder / "se-s1" / other_images.KEPT
    kept = json.loads(path.read_text())
    some = next(iter(kept["measured"]))
    wrong = {"measured": {some: {"accuracy": 7}}}
    other = {"measured": {some: {"accuracy": 1 - kept["measured"][some]["accuracy"]}}}  # possible, and not measured
    for damage in ("", "[]", *(json.dumps(kept | one) for one in ({"of": "other"}, wrong, other))):
        path.write_text(damage)
        run(folder, "--corruptions")
        assert "[1/1] test images: 40 images, 1 networks" in capsys.readouterr().out
        assert json.loads(path.read_text())["measured"][some] == kept["measured"][some]


@pytest.mark.usefixtures("no_figures")
def test_the_page_leaves_out_what_is_of_other_weights_and_refuses_a_damaged_file(folder, capsys):
    run(folder, "--corruptions")
    path = folder / "robustness.json"
    values = read_sealed(path)
    values["runs"][0]["of"] = "other weights"
    write_sealed(path, values)
    assert "Tested are 5 of the 6 runs" in text_of(show(folder).page.read_text())
    good = values["runs"][1]
    for damage in ({"format": 2}, {"views": []}, {"views": values["views"] * 2}, {"runs": [good | {"measured": []}]},
                   {"runs": [good | {"measured": [{"loss": 1.0}]}]}, {"runs": 3}, {"runs": []}):  # fmt: skip
        write_sealed(path, values | damage)
        with pytest.raises(InputError, match=r"robustness\.json is damaged: .*; delete it, and test") as caught:
            show(folder)
        assert "\n" not in str(caught.value)
    write_sealed(path, values)
    text = path.read_text()
    digits = re.search(r'"accuracy": 0\.(\d)', text)
    path.write_text(text[: digits.start(1)] + str((int(digits[1]) + 1) % 10) + text[digits.end(1) :])
    with pytest.raises(InputError, match="its digest is of other contents"):
        show(folder)


def test_results_of_runs_replace_none_of_a_comparison(folder):
    with pytest.raises(InputError, match="holds a comparison, whose results these would replace"):
        run(folder / "se-s0", "--corruptions", "--out", folder)


def test_runs_are_grouped_by_attention_and_one_alone_is_a_table(folder, tmp_path, capsys):
    runs = [folder / f"{name}-s{seed}" for name in ("se", "none") for seed in (0, 1)]
    run(*runs, "--corruptions", "blur", "--out", tmp_path / "out")
    assert "none minus se" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"robustness.json", "robustness.csv", "robustness.png"}
    run(runs[0], "--corruptions", "--images", "20", "--out", tmp_path / "one")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["view", "images", "se,", "1", "seed"] and lines[2].split()[2] == "20"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["RUN"], "--out must name a folder"),
        (["DIR", "RUN"], "is the folder of a comparison; name it alone"),
        (["DIR", "--corruptions", "fog"], "unknown corruption 'fog'; known are noise"),
        (["DIR", "--images", "0"], "images must be 1 to 40, the number of test images, got 0"),
        (["DIR/figures", "--out", "OUT"], r"holds no run"),
        (["DIR", "--people", "missing.npy"], "cannot read missing.npy"),
    ],
)
def test_wrong_command_lines_are_refused_and_nothing_is_written(folder, tmp_path, words, reason):
    before = {path for path in tmp_path.rglob("*")}
    places = {"RUN": folder / "se-s0", "DIR/figures": folder / "figures", "DIR": folder, "OUT": tmp_path / "out"}
    with pytest.raises(InputError, match=reason):
        run(*(places.get(word, word) for word in words))
    assert {path for path in tmp_path.rglob("*")} == before


ACTS = {
    "--corruptions": ["--corruptions", "blur"],
    "--images": ["--images", "20"],
    **{f"--{name.replace('_', '-')}": [f"--{name.replace('_', '-')}", name] for name in command.FILES},
}
INERT = {
    "--out": "where it writes: the tests here give one, or none",
    "--data-dir": "where the data is, as read_test has it",
    "--trust-code": "as of every command that loads runs: test_module_code",
    "--accept-changed-code": "test_module_code",
    "--cache-limit": "test_cache",
    "--traceback": "test_command",
    "--help": "test_conventions",
}


def test_every_flag_is_said_to_act_or_why_not():
    flags = {option for option in command.parser()._option_string_actions if option.startswith("--")}
    assert flags == ACTS.keys() | INERT.keys()


@pytest.mark.parametrize("flag", ACTS)
def test_a_flag_changes_the_results(folder, tmp_path, flag):
    files = write_published(tmp_path / "files", tiny.splits().test)
    for name, words in (("before", []), ("after", [files.get(word, word) for word in ACTS[flag]])):
        none = [] if flag == "--corruptions" and words else ["--corruptions"]
        run(folder / "se-s0", "--out", tmp_path / name, *none, *words)
    before, after = ((tmp_path / name / "robustness.json").read_text() for name in ("before", "after"))
    assert before != after


def test_code_of_others_is_not_run_unless_that_is_allowed(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(results, "notes", lambda runs, *flags: asked.append(flags) or [])
    run(folder / "se-s0", "--corruptions", "--out", folder / "out", "--trust-code")
    run(folder / "se-s0", "--corruptions", "--out", folder / "out", "--accept-changed-code")
    assert asked == [(True, False), (False, True)]
