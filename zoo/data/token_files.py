"""Token ids on disk: one-dimensional .npy files, read by memory mapping."""

import os
from pathlib import Path

import numpy as np

from zoo.data.atomic_files import replacing

DTYPES = (np.dtype(np.uint16), np.dtype(np.uint32))
LARGEST_ID = np.iinfo(np.int32).max  # batches are int32


def write_tokens(path: str | os.PathLike[str], ids: np.ndarray) -> None:
    """Writes token ids as a .npy file, uint16 where they fit and uint32 otherwise.

    Args:
        path: The file to write, atomically; its folder is made if need be.
        ids: Integers of shape (number of tokens,), each from 0 to 2**31 - 1.

    Raises:
        ValueError: `ids` is empty, of another shape or type, or out of range.
    """
    ids = np.asarray(ids)
    if ids.ndim != 1 or ids.size == 0 or ids.dtype.kind not in "iu":
        raise ValueError(
            f"token ids are {ids.dtype} of shape {ids.shape}; expected a non-empty "
            "one-dimensional array of integers, such as Tokenizer.encode returns"
        )
    smallest, largest = int(ids.min()), int(ids.max())
    if smallest < 0 or largest > LARGEST_ID:
        raise ValueError(
            f"token ids range from {smallest} to {largest}; expected 0 to {LARGEST_ID}"
        )
    dtype = next(d for d in DTYPES if largest <= np.iinfo(d).max)
    with replacing(path) as file:
        np.save(file, ids.astype(dtype), allow_pickle=False)


def read_tokens(path: str | os.PathLike[str]) -> np.ndarray:
    """Maps a file of token ids into memory, read-only.

    Args:
        path: A file that `write_tokens` wrote.

    Returns:
        A read-only array of uint16 or uint32, of shape (number of tokens,).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file does not hold token ids.
    """
    path = Path(path)
    remedy = "write it anew with zoo.data.write_tokens"
    if not path.is_file():
        raise FileNotFoundError(f"there is no token file {path}; {remedy}")
    try:
        tokens = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a whole .npy file; {remedy}") from error
    if not isinstance(tokens, np.memmap):
        raise ValueError(f"{path} is an archive, not a .npy file; {remedy}")
    if tokens.ndim != 1 or tokens.size == 0 or tokens.dtype not in DTYPES:
        raise ValueError(
            f"{path} holds {tokens.dtype} of shape {tokens.shape}; expected a "
            f"non-empty one-dimensional array of uint16 or uint32; {remedy}"
        )
    return tokens
