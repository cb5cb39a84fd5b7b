"""Folders of images: what is read, in which order, what is left out, and what is refused in one line."""

import csv
import hashlib
import io
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from jaxattn import data
from jaxattn.config import Config
from jaxattn.data import cache as data_cache
from jaxattn.data import folder as folders
from jaxattn.data.folder.listing import Image as Listed
from jaxattn.data.folder.reading import usual_size
from jaxattn.errors import InputError
from jaxattn.runs.data import moved, with_absolute_paths

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def put(path, colour=GREY, size=(40, 40), **options):
    """Writes an image of one colour, which differs a little from all others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, colour)
    mark = tuple(hashlib.sha256(f"{path}{colour}".encode()).digest()[:3])
    image.paste(mark, (0, 0, size[0] // 4, size[1] // 4))
    image.save(path, **options)
    return path


def make(root, layout="train/{c}/{i}.png test/{c}/{i}.png", classes=("ant", "bee"), each=4):
    for pattern in layout.split():
        for number, name in enumerate(classes):
            for i in range(each):
                put(root / pattern.format(c=name, i=i), (60 * number, 20 * i, 90))
    return root


def load(root, *options):
    return data.resolve(f"folder:{root}", *options).load(root)


def refused(root, message, *options):
    with pytest.raises(InputError, match=message):
        load(root, *options)


def test_splits_classes_and_order_are_those_of_the_paths(tmp_path):
    splits = load(make(tmp_path / "set", classes=("b", "a", "ä é")))
    assert splits.classes == ("a", "b", "ä é") and splits.spec.name == "set"
    assert (len(splits.train), len(splits.test)) == (12, 12)
    np.testing.assert_array_equal(splits.train.labels, np.repeat([0, 1, 2], 4))
    np.testing.assert_array_equal(splits.train.images[:, 20, 20, 1], [0, 20, 40, 60] * 3)


@pytest.mark.parametrize("train", ["train", "Training"])
@pytest.mark.parametrize("test", ["val", "valid", "validation", "Test", "TESTING"])
def test_the_folders_of_splits_have_several_names(tmp_path, train, test):
    splits = load(make(tmp_path, f"{train}/{{c}}/{{i}}.png {test}/{{c}}/{{i}}.png"))
    assert len(splits.test) == 8 and splits.classes == ("ant", "bee") and splits.spec.notes == ()


def test_beside_a_test_set_the_validation_images_are_not_used_and_said(tmp_path):
    root = make(tmp_path / "set", "train/{c}/{i}.png val/{c}/{i}.png test/{c}/{i}.png")
    (root / "valid" / "empty").mkdir(parents=True)
    splits = load(root)
    assert (len(splits.train), len(splits.test)) == (8, 8)
    assert splits.spec.notes == ("2 files or folders were left out of set: 2 validation (unused)",)
    rows = [(path.relative_to(root), path.parent.name, path.parts[-3]) for path in sorted(root.rglob("*.png"))]
    write_labels(root, [(*row[:2], row[2].title()) for row in rows])
    assert load(root).spec.notes == ("the 8 validation images of set are not used",)
    assert load(root).digest() == splits.digest()
    write_labels(root, [row for row in rows if row[2] != "test"])
    assert load(root).spec.notes == () and len(load(root).test) == 8


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("train/{c}/{i}.png", "has a folder train of class folders and none of test, testing, val, valid, validation;"),
        ("Training/{c}/{i}.png eval/{c}/{i}.png", "has a folder Training of class folders and none of test"),
        ("test/{c}/{i}.png", "has a folder test of class folders and none of train, training; add one, or name .*test"),
        ("test/{c}/{i}.png val/{c}/{i}.png", "has a folder test of class folders and none of train"),
        ("train/{c}/{i}.png Training/{c}/{i}.png test/{c}/{i}.png", "has Training and train; delete or rename one"),
    ],
)
def test_the_folder_of_a_split_without_its_partner_is_refused(tmp_path, layout, message):
    refused(make(tmp_path, layout), message)


def test_a_class_may_have_the_name_of_a_split(tmp_path):
    assert load(make(tmp_path / "a", "{c}/{i}.png", classes=("train", "bus"))).classes == ("bus", "train")
    assert load(make(tmp_path / "b", "{c}/{i}.png", classes=("Test", "ant"))).classes == ("Test", "ant")


def test_without_a_test_folder_a_fifth_of_each_class_is_drawn_and_said(tmp_path):
    splits = load(make(tmp_path / "set", "{c}/{i}.png", each=10))
    np.testing.assert_array_equal(np.bincount(splits.test.labels), [2, 2])
    assert len(splits.train) == 16 and "a fifth of each class of set, drawn with seed 0" in splits.spec.notes[0]
    assert load(tmp_path / "set").digest() == splits.digest()
    shutil.rmtree(data_cache.folder())
    assert load(tmp_path / "set").digest() == splits.digest()


def write_labels(root, rows, columns=("file", "label", "split"), **options):
    text = io.StringIO()
    csv.writer(text, **options).writerows([columns, *rows])
    (root / "labels.csv").write_text(text.getvalue())


def test_labels_may_be_in_a_table(tmp_path):
    for i in range(6):
        put(tmp_path / "pictures" / f"{i}.jpg", (40 * i, 0, 0))
    rows = [(f"pictures/{i}.jpg", "odd" if i % 2 else "even", "train" if i < 4 else "val") for i in range(6)]
    for delimiter in ",;\t":
        write_labels(tmp_path, rows, ("File", " label", "split"), delimiter=delimiter)
        splits = load(tmp_path)
        assert splits.classes == ("even", "odd") and splits.train.labels.tolist() == [0, 1, 0, 1]
    write_labels(tmp_path, [row[:2] for row in rows], ("file", "label"))
    assert len(load(tmp_path).test) == 2


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([("a.png", "x")], ("file", "class"), "labels.csv lacks the column label"),
        ([("gone.png", "x", "")], None, "line 2: there is no file gone.png"),
        ([("../out.png", "x", "")], None, r"line 2: \.\./out\.png is not in"),
        ([("0.png", "x", ""), ("0.png", "y", "")], None, "line 3: 0.png is in line 2, too"),
        ([("0.png", "", "")], None, "line 2: a file and a label must be given"),
        ([("0.png", "x", "train"), ("1.png", "x", "")], None, "line 3: split is ''"),
        ([("0.png", "x", "dev")], None, "line 2: split is 'dev'"),
        ([("0.png", "x", "train", "more")], None, "line 2 has more columns than the header; put quotes around"),
        ([(f"{i}.png", "x", "") for i in range(4)], None, "must hold 2 classes or more, it holds only 'x'"),
        ([("0.png", "x", "train"), ("1.png", "y", "test")], None, "class 'y' of .* has test images and no training"),
        ([("0.png", "x", "train"), ("1.png", "x", "train"), ("2.png", "y", "train")], None, "training images only"),
        ([], None, "holds no image"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_its_line(tmp_path, rows, columns, message):
    put(tmp_path / "out.png")
    for i in range(4):
        put(tmp_path / "set" / f"{i}.png", (i, 0, 0))
    write_labels(tmp_path / "set", rows, columns or ("file", "label", "split"))
    refused(tmp_path / "set", message)


def test_a_table_that_is_no_text_is_refused(tmp_path):
    make(tmp_path)
    for content in (b"file,label\n\xff\xfe,1\n", b"file,label\na\0.png,y\n", b"file,label\na.png,y\0\n"):
        (tmp_path / "labels.csv").write_bytes(content)
        refused(tmp_path, "cannot be read as CSV in UTF-8")


def test_names_of_any_length_give_a_short_line(tmp_path):
    root = make(tmp_path)
    for row in (("a" * 9999, "ant"), ("train/ant/0.png", "b" * 9999)):
        write_labels(root, [row], ("file", "label"))
        with pytest.raises(InputError) as caught:
            load(root)
        assert len(str(caught.value)) < 600


def test_files_of_phones_cameras_and_systems_are_left_out_and_counted(tmp_path):
    root = make(tmp_path / "set", "{c}/{i}.png")
    for name in (".DS_Store", "._0.png", "Icon\r", "IMG_1.HEIC", "IMG_2.heic", "MVI_3.MOV", "notes"):
        (root / "ant" / name).write_bytes(b"x")
    for name in ("__MACOSX", "@eaDir", ".git", "Network Trash Folder"):
        put(root / name / "ant" / "0.png")
    splits = load(root)
    assert splits.classes == ("ant", "bee") and len(splits.train) + len(splits.test) == 8
    assert splits.spec.notes[0] == (
        "11 files or folders were left out of set: 7 hidden, 2 .heic, 1 .mov, 1 without ending"
    )


@pytest.mark.parametrize("splits", ["", "train/ test/"])
def test_what_lies_outside_the_folders_of_classes_is_counted(tmp_path, splits):
    parts = splits.split() or [""]
    root = make(tmp_path / "set", " ".join(f"{part}{{c}}/{{i}}.png" for part in parts))
    for part in parts:
        put(root / part / "loose.jpg")
    if splits:
        put(root / "annotations" / "0.png")
    (root / "README.md").write_text("x")
    (root / ".hidden").write_text("x")
    outside = 4 if splits else 2
    assert load(root).spec.notes[0] == (
        f"{outside + 1} files or folders were left out of set: {outside} outside a class folder, 1 hidden"
    )


def test_one_file_that_is_left_out_is_one_file(tmp_path):
    root = make(tmp_path / "set")
    (root / "train" / "ant" / ".hidden").write_text("x")
    assert load(root).spec.notes == ("1 file or folder was left out of set: 1 hidden",)


def test_folders_within_a_class_and_odd_names_are_read(tmp_path):
    root = make(tmp_path / "set", "{c}/{i}.png")
    put(root / "ant" / "2019 summer" / "día 1" / "IMG (1).JPG")
    put(root / "ant" / "🐜.webp")
    assert sum(map(len, (load(root).train, load(root).test))) == 10


def formats(root):
    """Files of the kinds that Pillow reads, each of one colour, with the colour that must come out."""
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    turned = Image.new("RGB", (64, 32), RED)
    turned.paste(BLUE, (0, 0, 32, 32))  # the left half, which becomes the top
    turned.save(root / "turned.jpg", exif=exif, quality=100, subsampling=0)
    Image.new("RGBA", (40, 40), (*RED, 0)).save(root / "clear.png")
    Image.new("LA", (40, 40), (0, 0)).save(root / "clear grey.png")
    Image.new("L", (40, 40), 77).save(root / "grey.png")
    Image.fromarray(np.full((40, 40), 257 * 50, np.uint16)).save(root / "deep.png")
    Image.new("RGB", (40, 40), GREEN).convert("P").save(root / "palette.gif")
    frames = [Image.new("RGB", (40, 40), colour) for colour in (BLUE, RED)]
    frames[0].save(root / "moving.gif", save_all=True, append_images=frames[1:])
    Image.new("CMYK", (40, 40), (0, 255, 255, 0)).save(root / "print.tiff")
    Image.new("1", (40, 40), 1).save(root / "bits.bmp")
    return {
        "clear.png": (255,) * 3, "clear grey.png": (255,) * 3, "grey.png": (77,) * 3, "deep.png": (50,) * 3,
        "palette.gif": GREEN, "moving.gif": BLUE, "print.tiff": RED, "bits.bmp": (255,) * 3, "turned.jpg": BLUE,
    }  # fmt: skip


def test_every_mode_becomes_the_colours_that_are_seen(tmp_path):
    root = make(tmp_path, "train/{c}/{i}.png test/{c}/{i}.png")
    (root / "train" / "kinds").mkdir()
    expected = formats(root / "train" / "kinds")
    splits = load(root)
    images = splits.train.images[splits.train.labels == 2]
    for image, name in zip(images, sorted(expected, key=lambda name: str(root / name)), strict=True):
        assert np.abs(image[4, 16].astype(int) - expected[name]).max() <= 3, name


@pytest.mark.parametrize(
    ("size", "side", "shape"),
    [(None, 40, (32, 32)), (None, 63, (32, 32)), (None, 64, (64, 64)), (None, 300, (64, 64)), ("48", 40, (48, 48)),
     ("24x40", 300, (24, 40))],
)  # fmt: skip
def test_size_is_the_one_asked_for_or_fits_the_images(tmp_path, size, side, shape):
    for i in range(4):
        put(tmp_path / "ab"[i % 2] / f"{i}.png", (i, 0, 0), (side, side + 10))
    assert load(tmp_path, size).spec.image_shape == (*shape, 3)


@pytest.mark.parametrize("size", ["0", "7", "1025", "64x", "x64", "64x64x3", "-64", "64.5", "big", "9" * 50, "²"])
def test_a_size_that_is_none_is_refused(tmp_path, size):
    refused(make(tmp_path), "image_size must be 8 to 1024 pixels, such as 64 or 48x64", size)


def test_size_and_damage_are_settings_of_folders_alone():
    with pytest.raises(InputError, match="image_size applies only to folder:DIR, got the data set cifar10"):
        data.resolve("cifar10", "64")
    with pytest.raises(InputError, match="skip_damaged applies only to folder"):
        data.resolve("shapes", None, True)


def test_shorter_side_is_resized_without_aliasing_and_the_centre_is_kept(tmp_path):
    stripes = np.zeros((128, 256, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than the result can show: grey
    stripes[:, :60] = stripes[:, -60:] = RED  # outside the centre
    for name, count in (("a", 2), ("b", 2)):
        for i in range(count):
            put(tmp_path / name / f"{i}.png", (i, 0, 0), (256, 128))
    Image.fromarray(stripes).save(tmp_path / "a" / "2.png")
    splits = load(tmp_path, "32")
    images = np.concatenate([splits.train.images, splits.test.images]).astype(int)
    grey = images[np.argmin(np.abs(images - 127).mean((1, 2, 3)))]
    assert np.abs(grey[:, 1:-1] - 127).max() <= 2


def test_moments_are_those_of_the_training_pixels(tmp_path):
    splits = load(make(tmp_path))
    pixels = splits.train.images / 255
    np.testing.assert_allclose(splits.spec.mean, pixels.mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(splits.spec.std, np.maximum(pixels.std((0, 1, 2)), 1 / 255), atol=1e-4)


def damaged(root, kind):
    path = root / "train" / "ant" / "zz.png"
    if kind == "truncated":
        path.write_bytes((root / "train" / "ant" / "0.png").read_bytes()[:60])
    elif kind == "bomb":
        Image.new("1", (30_000, 30_000)).save(path)
    elif kind == "float":
        path = path.with_suffix(".tiff")
        Image.new("F", (20, 20)).save(path)
    else:
        path.write_bytes({"empty": b"", "text": b"<svg></svg>"}[kind])
    return path


@pytest.mark.parametrize("kind", ["truncated", "text", "empty", "bomb", "float"])
def test_a_file_that_cannot_be_read_is_named_or_left_out(tmp_path, kind):
    root = make(tmp_path / "set")
    before = load(root)
    path = damaged(root, kind)
    with pytest.raises(InputError, match=f"{path.name}.*; replace or delete it, or skip") as caught:
        load(root)
    assert caught.value.setting == "skip_damaged" and "more)" not in str(caught.value)
    splits = load(root, None, True)
    assert splits.digest() == before.digest()
    assert splits.spec.notes == ("1 file of set that cannot be read was left out",)
    shutil.copy(path, path.with_stem("zzz"))
    refused(root, r"\(and 1 more\); replace")


def test_damage_that_leaves_too_few_images_is_refused(tmp_path):
    root = make(tmp_path, "{c}/{i}.png", each=2)
    (root / "ant" / "0.png").write_bytes(b"")
    refused(root, "the class 'ant' of .* (has only one image|has test images and no training)", None, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shutil.rmtree, "there is no folder"),
        (lambda root: [shutil.rmtree(path) for path in root.iterdir()], "has no class folders"),
        (lambda root: [path.unlink() for path in (root / "bee").iterdir()], "bee holds no image; add some, or delete"),
        (lambda root: shutil.rmtree(root / "bee"), "must hold 2 classes or more, it holds only 'ant'"),
        (lambda root: [(root / "bee" / f"{i}.png").unlink() for i in (1, 2, 3)], "'bee' of .* has only one image"),
        (lambda root: make(root, "train/{c}/{i}.png test/{c}/{i}.png test/cat/{i}.png"),
         "the class 'cat' of .* has test images and no training images"),
    ],
)  # fmt: skip
def test_what_is_no_data_set_is_refused(tmp_path, change, message):
    change(make(tmp_path / "set", "{c}/{i}.png"))
    refused(tmp_path / "set", message)


def test_a_data_folder_may_have_moved():
    assert moved(Config(dataset="shapes", data_dir="/a"), "/b").data_dir == "/b"


def test_a_class_may_lack_test_images_and_is_named(tmp_path):
    root = make(tmp_path / "set", "train/{c}/{i}.png test/{c}/{i}.png")
    put(root / "train" / "cat" / "0.png")
    splits = load(root)
    assert splits.classes == ("ant", "bee", "cat") and set(splits.test.labels.tolist()) == {0, 1}
    assert splits.spec.notes == ("the class 'cat' of set has no test images",)


def test_the_size_is_that_of_most_images_wherever_they_lie(tmp_path):
    small, large = ([put(tmp_path / f"{side}.png", size=(side, side))] for side in (20, 100))
    images = [Listed(path, "x", None) for path in [*60 * small, *139 * large]]
    assert usual_size(images) == (64, 64)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links")
def test_a_link_that_leaves_the_folder_is_refused_and_one_within_is_read(tmp_path):
    root = make(tmp_path / "set", "{c}/{i}.png")
    (root / "ant" / "again.png").symlink_to(root / "ant" / "0.png")
    assert sum(map(len, (load(root).train, load(root).test))) == 9
    (root / "ant" / "more").symlink_to(root / "bee")  # links to folders may form a cycle
    shutil.rmtree(data_cache.folder())
    splits = load(root)
    assert sum(map(len, (splits.train, splits.test))) == 9
    assert splits.spec.notes[0] == "1 file or folder was left out of set: 1 linked"
    (root / "ant" / "out.png").symlink_to(put(tmp_path / "elsewhere.png"))
    refused(root, r"out\.png is a link that leaves .*; put what it names there, or delete the link")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links")
@pytest.mark.parametrize("link", ["train", "test", "train/cat", "test/ant", "readme", "labels.csv"])
def test_a_folder_that_is_a_link_out_is_refused(tmp_path, link):
    root, out = make(tmp_path / "set"), make(tmp_path / "out")
    out = out / link if link.startswith("test") else out / "train"
    if (root / link).exists():
        shutil.rmtree(root / link)
    (root / link).symlink_to(out)
    refused(root, f"{link} is a link that leaves")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links")
@pytest.mark.parametrize("table", [False, True])
def test_links_that_form_a_cycle_are_refused(tmp_path, table):
    root = make(tmp_path / "set", "{c}/{i}.png")
    (root / "ant" / "loop.png").symlink_to(root / "ant" / "loop.png")
    if table:
        write_labels(root, [("ant/loop.png", "ant")], ("file", "label"))
    refused(root, r"there is no file ant/loop\.png" if table else r"cannot read .*loop\.png: ")


def test_images_of_both_splits_are_counted(tmp_path):
    root = make(tmp_path / "set")
    shutil.copy(root / "train" / "ant" / "0.png", root / "test" / "bee" / "same.png")
    assert "1 of the 9 test images of set are also training images" in load(root).spec.notes


@pytest.mark.parametrize("change", ["content", "added", "removed", "size"])
def test_the_second_start_reads_no_file_unless_one_has_changed(tmp_path, monkeypatch, change):
    root = make(tmp_path)
    first = load(root)
    monkeypatch.setattr(folders.reading, "read_image", None)  # whatever reads a file fails
    assert load(root).digest() == first.digest() and data.resolve(f"folder:{root}").spec == first.spec
    if change == "content":
        put(root / "train" / "ant" / "0.png", RED)
    elif change == "added":
        put(root / "train" / "ant" / "new.png")
    elif change == "removed":
        (root / "train" / "ant" / "0.png").unlink()
    with pytest.raises(TypeError):
        load(root, "16" if change == "size" else None)


def test_few_images_are_decoded_at_once_however_many_cores_there_are(tmp_path, monkeypatch):
    pool, workers = folders.reading.ThreadPoolExecutor, []
    monkeypatch.setattr(folders.reading, "ThreadPoolExecutor", lambda count: workers.append(count) or pool(count))
    for cores in (64, 1, None):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        load(make(tmp_path / str(cores)))
    assert workers == [4, 1, 1]  # each may take 2 GB


def test_a_folder_that_has_moved_is_the_same_data(tmp_path):
    first = load(make(tmp_path / "a"))
    shutil.move(tmp_path / "a", tmp_path / "b")
    config = Config(dataset=f"folder:{tmp_path}/a")
    assert moved(config, str(tmp_path / "b")).dataset == f"folder:{tmp_path}/b"
    assert load(tmp_path / "b").digest() == first.digest()


def test_a_relative_folder_is_stored_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert with_absolute_paths(Config(dataset="folder:set")).dataset == f"folder:{tmp_path}/set"


def test_an_address_is_refused():
    with pytest.raises(InputError, match="gs://bucket/set is an address"):
        data.resolve("folder:gs://bucket/set")


def test_facts_survive_json(tmp_path):
    spec = load(make(tmp_path)).spec
    assert type(spec).from_json(json.loads(json.dumps(spec.to_json()))) == spec
