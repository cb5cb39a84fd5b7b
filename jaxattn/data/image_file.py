"""Image files of any format as the uint8 array that a network takes."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxattn.errors import InputError
from jaxattn.paths import local_path

BACKGROUND = (255, 255, 255)  # behind a transparent image


def read_image(path: str | Path, height: int, width: int) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Reads an image, rotates it as its EXIF says and puts it on white where it is transparent.

    Of several frames the first is read. The image is cropped around its centre to the aspect ratio of height and width,
    then resized with an antialiasing bicubic filter. 16-bit values are scaled to 8 bits.

    Args:
        path: a file of any format, size and mode that Pillow reads, except 32-bit floats and 32-bit integers.
        height, width: pixels.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        InputError: where the file is missing, is not an image, is damaged, or has too many pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = local_path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                opened.load()
                image = _to_rgb(ImageOps.exif_transpose(opened), opened.format)
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is not an image that Pillow can read; give a PNG, JPEG, WebP, GIF, TIFF or similar file"
        ) from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path} must have at most {Image.MAX_IMAGE_PIXELS:,} pixels, it has more; scale it down first"
        ) from error
    except Exception as error:  # Pillow's readers raise many types for damaged files
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise InputError(f"cannot read the image {path}: {reason}; check the path, or save the image again") from error
    return _fitted(image, height, width)


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


def _to_rgb(image, file_format):
    """The Pillow image in RGB.

    Raises:
        ValueError: where its values are 32-bit.
    """
    from PIL import Image

    if image.mode == "F" or (image.mode == "I" and file_format != "PNG"):
        raise ValueError(f"its values (mode {image.mode}) have no known range; convert it to 8 or 16 bits per channel")
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 255
        image = Image.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    layers = Image.new("RGBA", image.size, BACKGROUND), image.convert("RGBA")
    return Image.alpha_composite(*layers).convert("RGB")
