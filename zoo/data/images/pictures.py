"""Decodes pictures with Pillow."""

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from zoo.files.damaged import reading
from zoo.files.limits import MAX_PIXELS, grown_limit

# The formats of `picture_files.SUFFIXES`. Pillow has parsers for many others, one of
# which runs a program.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

SMALLER = "Make it smaller, or cut it into parts (see zoo/files/limits.py)."


class Picture(NamedTuple):
    """A picture that is not decoded yet.

    Attributes:
        file: the path, the content, or a function that reads the content.
        name: its name in error messages.
        label: the number of its class; 0 if there are no classes.
        num_bytes: its compressed size in an archive; None if it is not compressed.
    """

    file: Path | bytes | Callable[[], bytes]
    name: str
    label: int
    num_bytes: int | None = None


def decode(
    pictures: Sequence[Picture], size: int | None = None, channels: int = 3
) -> np.ndarray:
    """Decodes pictures into one array, uint8 of shape (N, H, W, C).

    Transparent areas become white. The orientation in EXIF data is applied.

    Args:
        pictures: the N pictures.
        size: H and W in pixels; pictures are cropped to the central square and resized
            (bicubic). None if they all have one size.
        channels: C, 1 for grey or 3 for red, green and blue.

    Raises:
        ValueError: there are no pictures; one is damaged, has more than 8 bits per
            value, exceeds `zoo.files.limits`, or differs in size from the first; they
            do not fit into memory; or an argument is wrong.
    """
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1, or None, got {size}.")
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (colour), got {channels}.")
    if not pictures:
        raise ValueError("There must be at least one picture to decode, got none.")
    with warnings.catch_warnings():
        # Warnings about metadata, and about sizes, which are checked here.
        warnings.simplefilter("ignore")
        return _decode(pictures, size, channels)


def _decode(pictures: Sequence[Picture], size: int | None, channels: int) -> np.ndarray:
    first = _pixels(pictures[0], size, channels)
    try:
        decoded = np.empty((len(pictures), *first.shape), np.uint8)
    except MemoryError as error:
        raise ValueError(
            f"{len(pictures)} pictures of {first.shape[0]} x {first.shape[1]} pixels "
            f"do not fit into memory: {error}. Pass size= to make them smaller."
        ) from error
    for index, picture in enumerate(pictures):
        pixels = _pixels(picture, size, channels) if index else first
        if pixels.shape != first.shape:
            raise ValueError(
                f"All pictures must have one size, got {pixels.shape[0]} x "
                f"{pixels.shape[1]} pixels in {picture.name} and {first.shape[0]} x "
                f"{first.shape[1]} in {pictures[0].name}. Pass size= to resize them."
            )
        decoded[index] = pixels
    return decoded


def _pixels(picture: Picture, size: int | None, channels: int) -> np.ndarray:
    from PIL import Image

    content = picture.file() if callable(picture.file) else picture.file
    if isinstance(content, Path) and content.exists() and not content.is_file():
        raise ValueError(f"{picture.name} must be a picture, got no regular file.")
    expected = "a picture that Pillow can read"
    with contextlib.ExitStack() as stack:
        stack.enter_context(reading(picture.name, expected))
        file: BinaryIO
        file = (
            io.BytesIO(content) if isinstance(content, bytes) else open(content, "rb")
        )
        stack.enter_context(file)
        num_bytes = file.seek(0, io.SEEK_END)
        file.seek(0)
        check = partial(_check_size, picture.name, picture.num_bytes or num_bytes)
        if (webp := _webp_size(file.read(30))) is not None:
            check(*webp, 4)
        try:
            opened = stack.enter_context(Image.open(file, formats=FORMATS))
        except Image.DecompressionBombError as error:
            message = f"{picture.name} is too large: {error} {SMALLER}"
            raise ValueError(message) from error
        if opened.mode.startswith(("I", "F")):  # Pillow would clip them to 255
            raise ValueError(
                f"{picture.name} must have 8 bits per value, got more (Pillow's mode "
                f"{opened.mode!r})."
            )
        check(*opened.size, max(channels, len(opened.getbands())))
        opened.load()
        image = _upright(opened)
        side = min(image.size)
        if size is not None and image.size != (side, side):
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        if image.mode != (mode := "L" if channels == 1 else "RGB"):
            image = image.convert(mode)
        if size is not None:
            # ImageOps.fit won't do: its filter reaches beyond the crop.
            image = image.resize((size, size), Image.Resampling.BICUBIC)
        return np.asarray(image).reshape(image.height, image.width, channels)


def _check_size(name: str, num_bytes: int, width: int, height: int, bands: int) -> None:
    """Raises ValueError if a picture exceeds the limit for a file of its size."""
    limit = min(MAX_PIXELS, grown_limit(num_bytes) // bands)
    if width * height > limit:
        raise ValueError(
            f"{name} is too large: a file of {num_bytes:,} bytes must have at most "
            f"{limit:,} pixels, got {width} x {height}. {SMALLER}"
        )


def _webp_size(header: bytes) -> tuple[int, int] | None:
    """Reads width and height from a WebP header (RFC 9649); None for other files.

    Pillow reports them only after libwebp has allocated memory for the picture.
    """

    def number(start: int, count: int) -> int:
        return int.from_bytes(header[start : start + count], "little")

    if header[:4] != b"RIFF" or header[8:12] != b"WEBP":
        return None
    if header[12:16] == b"VP8X":
        return number(24, 3) + 1, number(27, 3) + 1
    if header[12:16] == b"VP8L":
        return (number(21, 4) & 0x3FFF) + 1, (number(21, 4) >> 14 & 0x3FFF) + 1
    return number(26, 2) & 0x3FFF, number(28, 2) & 0x3FFF


def _upright(image):
    """Applies the EXIF orientation; other tags may be malformed and are not read."""
    from PIL import ExifTags, Image

    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(image.getexif().get(ExifTags.Base.Orientation))
    return image if turn is None else image.transpose(turn)
