"""Picture files, found in folders and decoded by Pillow."""

import io
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


class Picture(NamedTuple):
    """A picture that is not decoded yet.

    Attributes:
        file: The file, or its content.
        name: What errors call it.
        label: The number of its class; 0 if there are no classes.
    """

    file: Path | bytes
    name: str
    label: int


def by_class(folder: Path) -> dict[str, list[Path]]:
    """Maps each subfolder that holds pictures to these, or "" to all of `folder`.

    Raises:
        FileNotFoundError: There is no picture.
        ValueError: Pictures lie beside the subfolders.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        above = relative.parts[:-1]
        if is_picture(relative) and path.is_file():
            found.setdefault(above[0] if above else "", []).append(path)
    if not found:
        raise FileNotFoundError(
            f"the folder {folder} holds no picture; expected files that end in one of "
            f"{' '.join(SUFFIXES)}"
        )
    if "" in found and len(found) > 1:
        raise ValueError(
            f"{found[''][0]} lies beside the subfolders of the classes "
            f"{sorted(found)[1:]}; move it into one of them"
        )
    return found


def is_picture(path: PurePath) -> bool:
    """Whether a file's name says so, and nothing above it is hidden."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


def decode(
    pictures: Sequence[Picture], size: int | None = None, channels: int = 3
) -> np.ndarray:
    """Decodes pictures into one array, uint8 of shape (N, H, W, C).

    What is transparent becomes white. Cameras' notes on rotation are followed.

    Args:
        pictures: N of them, at least one.
        size: H and W to bring them to, by a square crop of the centre and bicubic
            resizing; None if they are all of one size.
        channels: C, 1 for grey or 3 for red, green and blue.

    Raises:
        ValueError: A picture is damaged, has more than 8 bits a value, or is of
            another size than the first; or an argument is wrong.
    """
    if size is not None and size < 1:
        raise ValueError(f"size={size}; expected at least 1, or None")
    if channels not in (1, 3):
        raise ValueError(f"channels={channels}; expected 1 (grey) or 3 (colour)")

    first = _pixels(pictures[0], size, channels)
    decoded = np.empty((len(pictures), *first.shape), np.uint8)
    for index, picture in enumerate(pictures):
        pixels = _pixels(picture, size, channels)
        if pixels.shape != first.shape:
            raise ValueError(
                f"{picture.name} is {pixels.shape[0]} x {pixels.shape[1]} pixels and "
                f"{pictures[0].name} {first.shape[0]} x {first.shape[1]}; pass size= "
                "to bring them all to one size"
            )
        decoded[index] = pixels
    return decoded


def _pixels(picture: Picture, size: int | None, channels: int) -> np.ndarray:
    from PIL import Image, ImageOps

    file = picture.file
    try:
        opened = Image.open(io.BytesIO(file) if isinstance(file, bytes) else file)
        with opened:
            opened.load()
    except (OSError, SyntaxError) as error:  # SyntaxError: of a broken PNG
        raise ValueError(
            f"{picture.name} is not a picture that Pillow can read: {error}"
        ) from error
    if opened.mode.startswith(("I", "F")):  # Pillow would clip them to 255
        raise ValueError(
            f"{picture.name} has more than 8 bits a value (Pillow's mode "
            f"{opened.mode!r}); expected 8"
        )
    image = ImageOps.exif_transpose(opened)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    image = image.convert("L" if channels == 1 else "RGB")
    if size is not None:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        # Not ImageOps.fit, whose filter reaches beyond the crop.
        image = image.crop((left, top, left + side, top + side))
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(image.height, image.width, channels)
