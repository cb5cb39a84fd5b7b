"""A picture file of any kind as the uint8 array that a network takes."""

import warnings
from pathlib import Path

import numpy as np

from jaxattn.errors import InputError

GROUND = (255, 255, 255)  # what is seen through a transparent picture


def read_picture(path: str | Path, height: int, width: int) -> np.ndarray:
    """A picture turned as its EXIF says, on white where it is transparent: uint8 [height, width, 3].

    Of several frames it is the first. It is cut to the proportions of height and width around its middle, then scaled
    with an antialiasing bicubic filter. Values of 16 bits are scaled to 8.

    Args:
        path: a file of any format, size and mode that Pillow reads, but for floats and whole numbers of 32 bits.
        height, width: pixels.

    Raises:
        InputError: where there is no such file, it is no picture, it is damaged, or it has too many pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                opened.load()
                picture = _in_colour(ImageOps.exif_transpose(opened), opened.format)
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is no picture that Pillow can read; give a PNG, JPEG, WebP, GIF, TIFF or the like"
        ) from (error)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path} must have at most {Image.MAX_IMAGE_PIXELS:,} pixels, it has more; scale it down first"
        ) from error
    except Exception as error:  # whatever a damaged file makes Pillow's readers raise
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise InputError(
            f"cannot read the picture {path}: {reason}; check the path, or save the picture anew"
        ) from error
    return np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC))


def _in_colour(picture, form):
    """The picture in RGB."""
    from PIL import Image

    if picture.mode == "F" or (picture.mode == "I" and form != "PNG"):
        raise ValueError(f"its numbers (mode {picture.mode}) have no range to scale by; make it 8 or 16 bits a value")
    if picture.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        picture = Image.fromarray((np.asarray(picture) / 257).round().clip(0, 255).astype(np.uint8))
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layers = Image.new("RGBA", picture.size, GROUND), picture.convert("RGBA")
    return Image.alpha_composite(*layers).convert("RGB")
