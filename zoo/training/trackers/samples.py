"""Samples that are logged while a model trains: texts and pictures."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Sample: TypeAlias = "str | np.ndarray | Path | bytes"
"""A text; images (N, H, W, C) or (H, W, C) in [0, 1]; a PNG file or its bytes."""

MOST_IMAGES = 100


def encoded(samples: Mapping[str, Sample]) -> dict[str, str | bytes]:
    """The samples with every picture as the bytes of a PNG file.

    Raises:
        ValueError: an array does not hold gray or RGB images.
    """
    return {name: _encoded(name, value) for name, value in samples.items()}


def _encoded(name: str, value: Any) -> str | bytes:
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, Path):
        return value.read_bytes()
    images = np.asarray(value)
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise ValueError(
            f"the sample {name!r} must be a text, a Path of a picture, or gray or RGB "
            f"images (N, H, W, C) in [0, 1]; got an array of shape {images.shape}."
        )
    return _grid(images[:MOST_IMAGES])


def _grid(images: np.ndarray) -> bytes:
    """Images in a square of rows and columns, small ones enlarged, as a PNG."""
    from PIL import Image

    count, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    gap = 1
    tall, wide = height + gap, width + gap
    sheet = np.ones((rows * tall - gap, columns * wide - gap, channels), "float32")
    for index, image in enumerate(np.clip(images.astype("float32"), 0, 1)):
        top, left = index // columns * tall, index % columns * wide
        sheet[top : top + height, left : left + width] = image
    pixels = np.round(sheet * 255).astype("uint8")
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    scale = max(1, 400 // max(picture.size))
    picture = picture.resize(
        (picture.width * scale, picture.height * scale), Image.Resampling.NEAREST
    )
    file = io.BytesIO()
    picture.save(file, format="png")
    return file.getvalue()
