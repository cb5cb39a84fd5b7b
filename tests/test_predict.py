"""`jaxattn predict`: any image file, its class, its maps, and one line for what is no image."""

import io
import json
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageOps

from jaxattn import predict
from jaxattn.data.image_file import image_size, read_image
from jaxattn.errors import InputError
from jaxattn.plots import canvas

pytestmark = pytest.mark.usefixtures("small_network")
COLOUR = (200, 40, 90)
MODES = {
    "RGB": ("png", COLOUR),
    "RGBA": ("webp", COLOUR),
    "CMYK": ("tiff", COLOUR),
    "P": ("gif", (204, 51, 102)),
    "L": ("jpeg", (80, 80, 80)),
    "1": ("png", (255, 255, 255)),
    "LA": ("png", (80, 80, 80)),
    "I;16": ("png", (80, 80, 80)),
}


def made(mode, size=(50, 40)):
    """An image of one colour in some mode."""
    if mode == "I;16":
        return Image.fromarray(np.full(size[::-1], 80 * 257, np.uint16))
    grey = mode in ("L", "LA", "1")
    return Image.new("RGB", size, MODES[mode][1] if grey else COLOUR).convert(mode, dither=Image.Dither.NONE)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_its_colour(mode, tmp_path):
    form, colour = MODES[mode]
    path = tmp_path / f"image.{form}"
    made(mode).save(path)
    image = read_image(path, 32, 32)
    assert (image.shape, image.dtype) == ((32, 32, 3), np.uint8)
    np.testing.assert_allclose(image, np.broadcast_to(colour, image.shape), atol=6)  # lossy formats


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_values_without_a_known_range_are_refused(kind, tmp_path):
    Image.fromarray(np.ones((32, 32), kind)).save(tmp_path / "image.tiff")
    with pytest.raises(InputError, match=r"its values \(mode [FI]\) have no known range"):
        read_image(tmp_path / "image.tiff", 32, 32)


@pytest.mark.parametrize("size", [(1, 1), (32, 32), (7, 300), (1000, 31)])
def test_every_size_fits(size, tmp_path):
    made("RGB", size).save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png", 32, 32)[16, 16], COLOUR)


def test_an_image_of_the_right_size_is_not_changed(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png", 32, 32), pixels)


def test_the_middle_of_a_wide_image_is_kept(tmp_path):
    pixels = np.zeros((32, 96, 3), np.uint8)
    pixels[:, 32:64] = 255
    Image.fromarray(pixels).save(tmp_path / "image.png")
    assert read_image(tmp_path / "image.png", 32, 32).min() == 255


def test_transparency_is_white_and_the_first_frame_is_read(tmp_path):
    Image.new("RGBA", (32, 32), (*COLOUR, 0)).save(tmp_path / "clear.png")
    assert read_image(tmp_path / "clear.png", 32, 32).min() == 255
    grey = Image.fromarray(np.full((32, 32), 600, np.uint16))
    grey.save(tmp_path / "deep.png", transparency=600)
    assert read_image(tmp_path / "deep.png", 32, 32).min() == 255
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "two.gif", 32, 32)[0, 0], (255, 0, 0))


def test_warnings_are_shown_again_after_images_were_read_in_threads(tmp_path, monkeypatch):
    paths = [tmp_path / f"{i}.png" for i in range(60)]
    for number, path in enumerate(paths):
        Image.new("RGB", (32 + 8 * (number % 2), 32), COLOUR).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 32)  # Pillow warns of the larger ones
    filters = list(warnings.filters)

    def read(path):
        try:
            return read_image(path, 32, 32) is not None
        except InputError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, paths)) == [True, False] * 30
        assert set(pool.map(image_size, paths)) == {(32, 32), (32, 40)}
    assert warnings.filters == filters


def test_a_rotated_image_is_rotated_back(tmp_path):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # orientation: upside down
    Image.fromarray(pixels).save(tmp_path / "rotated.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "rotated.png", 32, 32), pixels[::-1])


PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def png_with(name, content, is_whole=True):
    """A PNG of PIXELS with one more chunk before them."""
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "png")
    checksum = zlib.crc32(name + content) if is_whole else 0
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
    return stream.getvalue()[:33] + chunk + stream.getvalue()[33:]


@pytest.mark.parametrize(
    "content",
    [
        png_with(b"tEXt", b"Comment\0text", is_whole=False),
        png_with(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 21))),  # more than Pillow takes for a text
        png_with(b"iCCP", b"x", is_whole=False),
        png_with(b"gAMA", b"", is_whole=False),
        png_with(b"eXIf", b"no EXIF"),
        png_with(b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", is_whole=False),
        png_with(b"pHYs", b"1"),
    ],
)
def test_the_pixels_of_an_image_are_taken_whatever_its_metadata(tmp_path, content):
    (tmp_path / "image.png").write_bytes(content)
    np.testing.assert_array_equal(read_image(tmp_path / "image.png", 32, 32), PIXELS)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_broken_exif_of_a_jpeg_is_left_out(tmp_path, exif):
    made("RGB").save(tmp_path / "image.jpeg", exif=exif)
    np.testing.assert_allclose(read_image(tmp_path / "image.jpeg", 32, 32)[16, 16], COLOUR, atol=6)


@pytest.mark.parametrize("orientation", range(10))
def test_images_are_turned_as_pillow_turns_them(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(tmp_path / "image.png", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(tmp_path / "image.png"))
    np.testing.assert_array_equal(read_image(tmp_path / "image.png", 32, 32), np.asarray(expected))


def test_sixteen_bits_are_rounded_to_eight(tmp_path):
    values = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    Image.fromarray(values).save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png", 32, 32)[..., 0], (values / 257).round())


def test_a_format_that_another_program_would_read_is_refused(tmp_path):
    made("RGB").save(tmp_path / "image.eps")
    with pytest.raises(InputError, match="is not an image that Pillow can read"):
        read_image(tmp_path / "image.eps", 32, 32)


def damaged(tmp_path, kind):
    path = tmp_path / "image.png"
    if kind == "text":
        path.write_text("no image")
    elif kind == "truncated":
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "folder":
        path.mkdir()
    elif kind == "bomb":
        Image.new("1", (20_000, 10_000)).save(path)
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("text", "is not an image that Pillow can read"),
        ("truncated", "cannot read the image"),
        ("missing", "No such file"),
        ("folder", "Is a directory"),
        ("bomb", "must have at most"),
    ],
)
def test_a_file_that_is_no_image_is_reported_in_one_line_and_nothing_is_written(unfinished, tmp_path, kind, reason):
    made("RGB").save(tmp_path / "good.png")
    with pytest.raises(InputError, match=reason) as caught:
        predict.main([str(unfinished), str(tmp_path / "good.png"), str(damaged(tmp_path, kind)), "--explain"])
    assert "\n" not in str(caught.value) and str(tmp_path / "image.png") in str(caught.value)
    assert not (unfinished / "explained").exists()


def test_an_image_gets_its_classes(unfinished, tmp_path, capsys):
    made("RGB").save(tmp_path / "a.png")
    predict.main([str(unfinished), str(tmp_path / "a.png"), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["probabilities"][found["class"]] == max(found["probabilities"].values())
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    predict.main([str(unfinished), str(tmp_path / "a.png"), "--top", "2"])
    line = capsys.readouterr().out
    assert line.startswith(f"{tmp_path / 'a.png'}: {found['class']} ") and line.count("%") == 2


def test_explain_draws_every_plot_of_each_image(unfinished, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(canvas, "DPI", 50)
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        made("RGB").save(tmp_path / folder / "a.png")
    out = tmp_path / "maps"
    predict.main(
        [str(unfinished), *(str(tmp_path / folder / "a.png") for folder in ("x", "y")), "--explain", "--out", str(out),
         "--json"]
    )  # fmt: skip
    printed = capsys.readouterr()
    assert [json.loads(line)["image"] for line in printed.out.splitlines()] == [
        str(tmp_path / folder / "a.png") for folder in ("x", "y")
    ]
    assert str(out / "a-features.png") in printed.err
    names = {path.name for path in out.iterdir()}
    assert {
        f"{name}-{plot}.png"
        for name in ("a", "a-2")
        for plot in ("features", "heatmap", "cam", "sanity", "gates-by-image")
    } == names


@pytest.mark.parametrize(
    "flags",
    [["--top", "0"], ["--top", "2", "--json"], ["--out", "x"], ["--class", "frog"], ["--explain", "--class", "x"]],
)
def test_wrong_flags_are_reported(unfinished, tmp_path, flags):
    made("RGB").save(tmp_path / "a.png")
    with pytest.raises(InputError):
        predict.main([str(unfinished), str(tmp_path / "a.png"), *flags])
