"""PNG, decoded and encoded in one call."""

import io

import numpy as np
import pytest
from cifar10_files import TEST_IMAGES, png_file
from PIL import Image

from experiments.fuzz.tfds_folder import encode
from jaxattn.data import png


def filtered(image, kind):
    """A PNG of `image` with filter `kind` on every row, written from the definition of the format, pixel by pixel."""
    rows = image.astype(int).reshape(len(image), -1)
    lines = []
    for number, row in enumerate(rows):
        line = [kind]
        for position, value in enumerate(row):
            left = row[position - 3] if position >= 3 else 0
            above = rows[number - 1][position] if number else 0
            corner = rows[number - 1][position - 3] if number and position >= 3 else 0
            guess = left + above - corner
            nearest = min((left, above, corner), key=lambda near, guess=guess: abs(guess - near))
            line.append((value - [0, left, above, (left + above) // 2, nearest][kind]) % 256)
        lines.append(bytes(int(number) for number in line))
    return png._png(len(rows), image.shape[1], b"".join(lines))


@pytest.mark.parametrize("kind", range(5))
def test_images_decode_whatever_filter_they_were_written_with(kind):
    files = [filtered(image, kind) for image in TEST_IMAGES]
    np.testing.assert_array_equal(png.decode(files, 32, 32), TEST_IMAGES)


def test_encoded_images_are_pngs_that_pillow_reads():
    images = [np.asarray(Image.open(io.BytesIO(file))) for file in encode(TEST_IMAGES)]
    np.testing.assert_array_equal(images, TEST_IMAGES)


def test_images_in_other_formats_decode_too():
    palette, jpeg = io.BytesIO(), io.BytesIO()
    flat = np.full((32, 32, 3), 200, np.uint8)
    Image.fromarray(flat).convert("P", palette=Image.Palette.ADAPTIVE).save(palette, "PNG")
    Image.fromarray(flat).save(jpeg, "JPEG", quality=100)
    decoded = png.decode([palette.getvalue(), jpeg.getvalue(), png_file(flat)], 32, 32)
    np.testing.assert_allclose(decoded, np.stack([flat] * 3), atol=2)  # JPEG rounds


@pytest.mark.parametrize("position", [-30, 60])
def test_png_with_one_bit_flipped_is_refused(position):
    file = bytearray(png_file(TEST_IMAGES[0]))
    file[position] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        png.decode([bytes(file)], 32, 32)
