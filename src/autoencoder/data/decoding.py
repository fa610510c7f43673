"""Decodes an image file of any kind into pixels: 8 bits, grey or colour, upright, of the size asked for."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga"),
}
# Only these, whatever a file's name says: Pillow would start another program for some others.
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "TGA")
GREY = {"1", "L", "LA", "La", "I"}  # Pillow's modes with one channel, aside of the 16-bit ones, which begin with I;16
ORIENTATION, ON_THEIR_SIDE = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values that swap height and width


class BadImageError(ValueError):
    """Why a file cannot be used, in words that go after its name: `is truncated`."""


class Header(NamedTuple):
    """What is known before the pixels are decoded."""

    height: int
    width: int
    channels: int


def read_header(path: Path) -> Header:
    """An image file's size, when upright, and channels, from its first bytes.

    Raises: BadImageError if it is no image, has too many pixels, several frames, or pixels of an unknown range.
    """
    with _opened(path) as image:
        width, height = image.size
        has_exif = image.format != "PNG" or "exif" in image.info  # for a PNG, `getexif` might decode it all
        if has_exif and image.getexif().get(ORIENTATION) in ON_THEIR_SIDE:
            # Versions of Pillow differ in whether a TIFF's size is that of the upright image.
            is_tiff = image.format == "TIFF"
            width, height = ImageOps.exif_transpose(image).size if is_tiff else (height, width)
        return Header(height, width, 1 if image.mode in GREY or image.mode.startswith("I;16") else 3)


def read_pixels(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """An image file's pixels, `shape` [C, H, W] uint8, C 1 or 3.

    It is turned upright as its EXIF tag says. 16 bits become 8. Transparent parts become white. Palettes and CMYK
    become RGB, without colour profiles, and colour becomes grey by ITU-R 601-2 luma if C is 1. An image of another size
    is scaled until it covers the new one, and what juts out on two sides is cut off.

    Raises: BadImageError as `read_header`, or if the pixels cannot be decoded.
    """
    channels, height, width = shape
    with _opened(path) as image:
        ImageOps.exif_transpose(image, in_place=True)
        upright = _in_8_bits(image)
        if upright.has_transparency_data:
            upright = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
        upright = upright.convert("L" if channels == 1 else "RGB")  # before it is scaled, which palettes cannot be
        if upright.size != (width, height):
            upright = ImageOps.fit(upright, (width, height))
        pixels = np.asarray(upright)
        return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


@cache
def known_formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The open file, whose pixels are not decoded yet; errors of its decoder become BadImageError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=known_formats()) as image:
                if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:  # an MPO is a photo with its previews
                    raise BadImageError(f"has {image.n_frames} frames")  # type: ignore[attr-defined]
                yield image
    except (BadImageError, MemoryError):
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise BadImageError(f"has more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise BadImageError("is not an image, or broken" if path.stat().st_size else "is empty") from None
    except Exception as error:  # a decoder may raise anything when a file is broken
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise BadImageError(f"cannot be decoded ({reason or type(error).__name__})") from None


def _in_8_bits(image: Image.Image) -> Image.Image:
    """The image with its 16 bits scaled to 8: 65,535 / 257 is 255. Any other image is unchanged.

    Raises: BadImageError for 32 bits, whose range is not known.
    """
    # Older versions of Pillow read a PNG's 16 bits as 32.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise BadImageError("has pixels of 32 bits, whose range is not known")
    return image
