"""What a file may cost: all limits in one place, each with its reason.

A size that a file claims is compared with the file, or with a limit here, before
anything of that size is made. What is refused says the limit.
"""

import os
from pathlib import Path

from zoo.files import checked_reads

# Pixels of a picture, before it is made smaller: Pillow's own bound, from which on it
# warns. In RGB they are 256 MiB.
MAX_PIXELS = 2**28 // 3

# How many times its size a compressed file may grow to, and what any may grow to. MNIST
# grows fivefold, text tenfold; deflate reaches 1032, on zeros alone.
MAX_EXPANSION = 100
SMALL_BYTES = 64 * 2**20

# Bytes of a number of 7 bits a byte: 64 bits take ten, which protocol buffers allow.
MAX_VARINT_BYTES = 10

# Layers, blocks and entries of a list of widths. GPT-3 has 96, the ResNets in use up to
# 152; Keras's Sequential calls itself once a layer, which Python ends at some 1000.
MAX_LAYERS = 512

# Any other whole number of a configuration: indices and shapes are int32 on all
# backends somewhere.
MAX_SIZE = 2**31 - 1

# Axes of an array, as in NumPy.
MAX_AXES = 64

# How many times the size of a table of names they may grow to, of which each says only
# how it differs from the one before.
MAX_NAME_EXPANSION = 16

# Bytes of a configuration or manifest. That of a classifier of 21,000 named classes
# has 2 MB.
MAX_CONFIG_BYTES = 16 * 2**20

# Bytes of a tokenizer's file: Gemma's, of 256,000 tokens, has 34 MB.
MAX_TOKENIZER_BYTES = 128 * 2**20

# Ids of a tokenizer: tables of them are made. The largest vocabulary published, that of
# XLM-V, has a million.
MAX_TOKENS = 2**24

# Bytes of a pickle within a file of weights: the names and shapes of some 100,000 of
# them. Read, it takes up to 64 times as many.
MAX_PICKLE_BYTES = 16 * 2**20


def grown_limit(size: int) -> int:
    """How many bytes a compressed file of `size` may grow to."""
    return max(SMALL_BYTES, MAX_EXPANSION * size)


def check_plain(file: Path) -> None:
    """Raises for a pipe or a device, which may have no end."""
    if file.exists() and not file.is_file():
        raise ValueError(f"{file} is no plain file, so that it may have no end.")


def read_bytes(file: Path, limit: int) -> bytes:
    """A file's bytes, no more than `limit` of them.

    Raises:
        ValueError: it is larger, or no plain file (a pipe, a device), which may have no
            end, or another program writes it, or a check (`zoo.files.checked_reads`)
            finds other bytes than it expects.
    """
    check_plain(file)
    with open(file, "rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        if size > limit:
            raise ValueError(
                f"{file} has {size:,} bytes; of such a file at most {limit:,} are read "
                "(the limits are in zoo/files/limits.py)."
            )
        data = opened.read(size + 1)
    if len(data) != size:
        raise ValueError(f"{file} changed while it was read. Try again.")
    if (check := checked_reads.current()) is not None:
        check(file, data)
    return data
