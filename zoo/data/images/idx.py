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
        path: the file.
        num_axes: the number of axes of the array: 3 for images, 1 for labels.

    Raises:
        ValueError: the file is not such an array, is truncated, or takes more bytes
            unzipped than the limit for its size.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} must be an IDX file, got no regular file.")
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
    """Reads the array, after checking the size in the header against `limit`."""
    magic = bytes([0, 0, 8, num_axes])  # 8: unsigned bytes
    length = 4 + 4 * num_axes
    header = file.read(length)
    if header[:4] != magic:
        raise ValueError(
            f"{path} must begin with 0x{magic.hex()}, the magic number of an IDX file "
            f"of unsigned bytes in {num_axes} axes, got 0x{header[:4].hex()}."
        )
    if len(header) < length:
        raise ValueError(
            f"{path} is truncated: it must have a header of {length} bytes, got "
            f"{len(header)} in all."
        )
    shape = tuple(np.frombuffer(header, ">u4", offset=4).tolist())
    wanted = math.prod(shape)
    if zipped and wanted > limit:
        raise ValueError(
            f"A gzip file of the size of {path} must unzip to at most {limit:,} bytes "
            f"(see zoo/files/limits.py), got {wanted:,} for the shape {shape}. Unzip "
            "it."
        )
    # One more byte, to notice surplus data and to let zlib verify its checksum.
    data = file.read(min(wanted, limit) + 1)
    if len(data) != wanted:
        follow = len(data) if zipped else limit - length
        raise ValueError(
            f"{path} is truncated or too long: {wanted} bytes must follow its header "
            f"for the shape {shape}, got {follow}."
        )
    return np.frombuffer(data, np.uint8).reshape(shape).copy()
