"""Token ids on disk: one-dimensional .npy files, read by memory mapping.

Files of other programs, whose names end in .bin, are read as well: nanoGPT's, which are
plain uint16 in this machine's byte order, and llm.c's, which have a header.
"""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo.files.atomic import replacing

DTYPES: tuple[np.dtype, ...] = (np.dtype(np.uint16), np.dtype(np.uint32))
LARGEST_ID = np.iinfo(np.int32).max  # batches are int32
REMEDY = "Write it again with zoo.data.write_tokens"

# A header of 256 int32: this magic number, a version, the number of tokens, and zeros.
LLM_C, LLM_C_HEADER = 20240520, 1024
LLM_C_DTYPES = {1: DTYPES[0], 7: DTYPES[1]}


def write_tokens(path: str | os.PathLike[str], ids: np.ndarray) -> None:
    """Writes token ids as a .npy file, uint16 if they fit and uint32 otherwise.

    Args:
        path: the file, written atomically; its folder is created if necessary.
        ids: integers of shape (number of tokens,), each from 0 to 2**31 - 1.

    Raises:
        ValueError: `ids` is empty, has another shape or type, or is out of range.
    """
    ids = np.asarray(ids)
    if ids.ndim != 1 or ids.size == 0 or ids.dtype.kind not in "iu":
        raise ValueError(
            "Token ids must be a non-empty one-dimensional array of integers, such as "
            f"Tokenizer.encode returns, got {ids.dtype} of shape {ids.shape}."
        )
    smallest, largest = int(ids.min()), int(ids.max())
    if smallest < 0 or largest > LARGEST_ID:
        raise ValueError(
            f"Token ids must be from 0 to {LARGEST_ID}, got {smallest} to {largest}."
        )
    dtype = next(d for d in DTYPES if largest <= np.iinfo(d).max)
    with replacing(path) as file:
        np.save(file, ids.astype(dtype), allow_pickle=False)


def read_tokens(path: str | os.PathLike[str]) -> np.ndarray:
    """Maps a file of token ids into memory, read-only.

    Args:
        path: a file written by `write_tokens`, or a .bin file of nanoGPT or llm.c.

    Returns:
        A read-only array of uint16 or uint32, of shape (number of tokens,).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not hold token ids.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no token file {path}. {REMEDY}.")
    # Opened only once: under the same name, another file may have replaced it.
    with open(path, "rb") as file:
        read_header = _bin_header if path.suffix == ".bin" else _npy_header
        dtype, start, count = read_header(path, file)
        return np.memmap(file, dtype, "r", start, (count,))


def _npy_header(path: Path, file: BinaryIO) -> tuple[np.dtype, int, int]:
    """Returns the dtype of the ids, the byte at which they begin, and their number."""
    if file.read(4) == b"PK\3\4":
        raise ValueError(f"{path} must be a .npy file, got an archive. {REMEDY}.")
    file.seek(0)
    damaged = f"{path} must be a .npy file, got another or a damaged file. {REMEDY}"
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(file)
    except Exception as error:  # NumPy's reader raises errors of many kinds
        raise ValueError(damaged) from error
    if dtype.hasobject:
        raise ValueError(damaged)
    if len(shape) != 1 or shape[0] == 0 or dtype not in DTYPES:
        raise ValueError(
            f"{path} must hold a non-empty one-dimensional array of uint16 or uint32, "
            f"got {dtype} of shape {shape}. {REMEDY}."
        )
    start, count = file.tell(), shape[0]
    if count < 0 or os.fstat(file.fileno()).st_size < start + count * dtype.itemsize:
        raise ValueError(damaged)
    return dtype, start, count


def _bin_header(path: Path, file: BinaryIO) -> tuple[np.dtype, int, int]:
    """Returns the same as `_npy_header`, for a file of nanoGPT or llm.c."""
    size = os.fstat(file.fileno()).st_size
    head = np.frombuffer(file.read(12 if size >= 12 else 0), "<i4")
    dtype, start, count = DTYPES[0], 0, size // DTYPES[0].itemsize
    expected = f"one or more {dtype} ids"
    if len(head) and head[0] == LLM_C:
        if head[1] not in LLM_C_DTYPES:
            raise ValueError(
                f"{path}, a token file of llm.c, must have version "
                f"{' or '.join(map(str, LLM_C_DTYPES))}, got {head[1]}."
            )
        dtype, start, count = LLM_C_DTYPES[int(head[1])], LLM_C_HEADER, int(head[2])
        expected = f"{start} bytes of llm.c's header and {count:,} {dtype} ids"
    if count < 1 or size != start + count * dtype.itemsize:
        raise ValueError(
            f"{path} must have {expected}, got {size:,} bytes. It is truncated, or in "
            f"another format. {REMEDY}."
        )
    return dtype, start, count
