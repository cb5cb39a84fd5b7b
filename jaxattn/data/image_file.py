"""Image files of any format as the uint8 array that a network takes."""

import contextlib
import io
import math
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxattn.data import png_chunks
from jaxattn.errors import InputError, first_line
from jaxattn.limits import open_file, read_bytes
from jaxattn.paths import local_path

# Of a file; Pillow limits the pixels (`MAX_IMAGE_PIXELS`), each of which takes up to 20 bytes: 1.8 GB.
MAX_BYTES = 256 << 20
# The formats of cameras, the web and microscopes. Pillow reads others with external programs, or without a limit.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA", "ICO")
# The endings of their file names.
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".dib"),
    *(".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico"),
)
BACKGROUND = (255, 255, 255)  # behind a transparent image
# The context in which Pillow's warnings are ignored, once for each thread that is in it; see `_without_warnings`.
_LOCK, _ENTERED = threading.Lock(), list[warnings.catch_warnings]()


def read_image(path: str | Path, height: int, width: int) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Reads an image, rotates it as its EXIF says and puts it on white where it is transparent.

    Of several frames the first is read. The image is cropped around its centre to the aspect ratio of height and width,
    then resized with an antialiasing bicubic filter. 16-bit values are scaled to 8 bits.

    Metadata that cannot be read is ignored.

    Args:
        path: a file of one of `FORMATS`, of any size and mode that Pillow reads, except 32-bit floats and integers.
        height, width: pixels.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        InputError: if the file is missing, is not an image, is damaged, or has too many pixels or bytes.
    """
    from PIL import Image, UnidentifiedImageError

    path = local_path(path)
    try:
        content = read_bytes(path, MAX_BYTES)
        with _without_warnings():
            return _fitted(_to_rgb(_opened(content)), height, width)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is not an image that Pillow can read; give a PNG, JPEG, WebP, GIF, TIFF or similar file"
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{path} must have at most {Image.MAX_IMAGE_PIXELS:,} pixels, it has more; scale it down first"
        ) from error
    except Exception as error:  # Pillow's readers raise many types for damaged files
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"cannot read the image {path}: {reason}; check the path, or save the image again") from error


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Pillow warns of metadata and of large images, which are ignored or refused here.

    The filters of warnings are the process's own, so threads share one context: the last to leave it restores them.
    """
    with _LOCK:
        if _ENTERED:
            context = _ENTERED[0]
        else:
            context = warnings.catch_warnings(action="ignore")
            context.__enter__()
        _ENTERED.append(context)
    try:
        yield
    finally:
        with _LOCK:
            _ENTERED.pop()
            if not _ENTERED:
                context.__exit__(None, None, None)


def image_size(path: Path) -> tuple[int, int] | None:
    """Height and width of an image by its header, in pixels; None if that cannot be read."""
    from PIL import Image

    try:
        with _without_warnings(), open_file(path, MAX_BYTES) as file, Image.open(file, formats=_formats()) as image:
            return image.height, image.width
    except Exception:  # Pillow's readers raise many types for damaged files
        return None


def _formats() -> list[str]:
    """The formats that this version of Pillow reads."""
    from PIL import Image

    Image.init()  # an older Pillow lacks some
    return [name for name in FORMATS if name in Image.OPEN]


def resize_images(
    images: UInt8[np.ndarray, "N _h _w 3"], height: int, width: int
) -> UInt8[np.ndarray, "N {height} {width} 3"]:
    """Images uint8 [N, H, W, 3], each cropped and resized as `read_image` does: [N, height, width, 3]."""
    from PIL import Image

    if images.shape[1:3] == (height, width):
        return images
    return np.stack([_fitted(Image.fromarray(image), height, width) for image in images])


def _fitted(image, height, width):
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC))


def _opened(content):
    """The Pillow image, with its pixels decoded; a PNG without its metadata if that cannot be read."""
    from PIL import Image

    formats = _formats()

    def unpacked(content):
        image = Image.open(io.BytesIO(content), formats=formats)
        if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):  # Pillow only warns up to twice as many
            raise Image.DecompressionBombError
        image.load()
        return image

    try:
        return unpacked(content)
    except Image.DecompressionBombError:
        raise
    except Exception:
        if not content.startswith(png_chunks.SIGNATURE):
            raise
        return unpacked(png_chunks.without_metadata(content))


# The transposition for each EXIF orientation but the first.
_TURNS = dict(enumerate((
    "FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90",
), 2))  # fmt: skip


def _upright(image):
    """The Pillow image, turned as its EXIF says, if that can be read."""
    from PIL import Image

    try:
        turn = _TURNS.get(image.getexif().get(0x0112))
    except Exception:  # Pillow raises many types
        return image
    return image.transpose(Image.Transpose[turn]) if turn else image


def _to_rgb(image):
    """The Pillow image in RGB, upright.

    Raises:
        ValueError: if its values are 32-bit.
    """
    from PIL import Image

    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise ValueError(f"its values (mode {image.mode}) have no known range; convert it to 8 or 16 bits per channel")
    image = _upright(image)
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 255
        values = np.asarray(image).clip(0, 65535).astype(np.uint32)
        is_transparent = values == image.info.get("transparency", -1)
        image = Image.fromarray(np.where(is_transparent, BACKGROUND[0], (values + 128) // 257).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    layers = Image.new("RGBA", image.size, BACKGROUND), image.convert("RGBA")
    return Image.alpha_composite(*layers).convert("RGB")
