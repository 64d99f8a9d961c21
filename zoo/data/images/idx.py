"""IDX, the file format of MNIST (LeCun et al. 1998, at the end of its web page)."""

import contextlib
import gzip
import math
import os
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo.files.limits import grown_limit


def read_idx(path: Path, num_axes: int) -> np.ndarray:
    """Reads an array of unsigned bytes from an IDX file, gzipped or not.

    Args:
        path: The file.
        num_axes: How many axes the array must have: 3 for images, 1 for labels.

    Raises:
        ValueError: The file is not such an array, or not whole, or takes more bytes
            unzipped than are read of a file of its size.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no plain file; expected an IDX file")
    with contextlib.ExitStack() as stack:
        file: BinaryIO = stack.enter_context(open(path, "rb"))
        size = os.fstat(file.fileno()).st_size
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not zipped:
            return _read(path, file, num_axes, size)
        unzipped: BinaryIO = stack.enter_context(gzip.GzipFile(fileobj=file))  # type: ignore[assignment]
        try:
            return _read(path, unzipped, num_axes, grown_limit(size), zipped=True)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is a damaged gzip file: {error}") from error


def _read(
    path: Path, file: BinaryIO, num_axes: int, limit: int, zipped: bool = False
) -> np.ndarray:
    """Compares the header's claim with `limit` before so much is read."""
    magic = bytes([0, 0, 8, num_axes])  # 8: unsigned bytes
    length = 4 + 4 * num_axes
    header = file.read(length)
    if header[:4] != magic:
        raise ValueError(
            f"{path} begins with 0x{header[:4].hex()}; expected the magic number "
            f"0x{magic.hex()} of an IDX file of unsigned bytes in {num_axes} axes"
        )
    if len(header) < length:
        raise ValueError(
            f"{path} is truncated: it has {len(header)} bytes; expected {length} of "
            "header alone"
        )
    shape = tuple(np.frombuffer(header, ">u4", offset=4).tolist())
    wanted = math.prod(shape)
    if zipped and wanted > limit:
        raise ValueError(
            f"{path} claims {wanted:,} bytes, the shape {shape}; at most {limit:,} are "
            "read of a gzip file of its size (the limits are in zoo/files/limits.py). "
            "Unzip it."
        )
    # One byte more: what follows would be wrong, and zlib compares its checksum.
    data = file.read(min(wanted, limit) + 1)
    if len(data) != wanted:
        follow = len(data) if zipped else limit - length
        raise ValueError(
            f"{path} is truncated or too long: {follow} bytes follow its header; "
            f"expected {wanted} for the shape {shape}"
        )
    return np.frombuffer(data, np.uint8).reshape(shape).copy()
