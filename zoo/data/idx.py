"""IDX, the file format of MNIST (LeCun et al. 1998, at the end of its web page)."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np


def read_idx(path: Path, num_axes: int) -> np.ndarray:
    """Reads an array of unsigned bytes from an IDX file, gzipped or not.

    Args:
        path: The file.
        num_axes: How many axes the array must have: 3 for images, 1 for labels.

    Raises:
        ValueError: The file is not such an array, or not whole.
    """
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is a damaged gzip file: {error}") from error
    magic = bytes([0, 0, 8, num_axes])  # 8: unsigned bytes
    if data[:4] != magic:
        raise ValueError(
            f"{path} begins with 0x{data[:4].hex()}; expected the magic number "
            f"0x{magic.hex()} of an IDX file of unsigned bytes in {num_axes} axes"
        )
    header = 4 + 4 * num_axes
    if len(data) < header:
        raise ValueError(
            f"{path} is truncated: it has {len(data)} bytes; expected {header} of "
            "header alone"
        )
    shape = tuple(np.frombuffer(data[4:header], ">u4").tolist())
    if len(data) != header + math.prod(shape):
        raise ValueError(
            f"{path} is truncated or too long: {len(data) - header} bytes follow its "
            f"header; expected {math.prod(shape)} for the shape {shape}"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape).copy()
